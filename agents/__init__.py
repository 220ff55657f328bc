"""Who acts: the agent protocol, scripted baselines, and the loop that runs one in a world."""

from agents.episode import EpisodeResult, run_episode
from agents.protocol import Act, Agent, Ask, Decision, Observation, Refuse, Stop
from agents.scripted import RandomAgent, ScriptedPusher

__all__ = [
    "Act",
    "Agent",
    "Ask",
    "Decision",
    "EpisodeResult",
    "Observation",
    "RandomAgent",
    "Refuse",
    "ScriptedPusher",
    "Stop",
    "run_episode",
]
