"""Act and check: the agent that plans, the loop that runs it in a world, and the trace of it."""

from agents.acting.episode import Outcome, carry_out
from agents.acting.planning_agent import AgentSettings, PlanningAgent
from agents.acting.trace import Trace, replay

__all__ = ["AgentSettings", "Outcome", "PlanningAgent", "Trace", "carry_out", "replay"]
