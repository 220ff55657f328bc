"""How an agent imagines: models to try actions in, proposals, costs and planners."""

from agents.planning.bodies import Bodies
from agents.planning.cost import GoalCost, Place
from agents.planning.learned import LearnedModel
from agents.planning.model import Imagined, Model, imagine
from agents.planning.planners import CrossEntropy, PathIntegral, Plan, Planner
from agents.planning.simulated import SimulatedModel

__all__ = [
    "Bodies",
    "CrossEntropy",
    "GoalCost",
    "Imagined",
    "LearnedModel",
    "Model",
    "PathIntegral",
    "Place",
    "Plan",
    "Planner",
    "SimulatedModel",
    "imagine",
]
