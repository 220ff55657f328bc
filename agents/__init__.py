"""Who acts: the agent protocol, scripted baselines, and the loop that runs one in a world.

`agents.acting` holds the agent that understands instructions (`agents.language`), imagines pushes
(`agents.planning`) and checks what happens; `agents.backends` language models that it can reason
with; `agents.browser` the same agent on a web page; `agents.evaluation` how often it succeeds.
"""

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
