"""How the world is predicted: dynamics, heads, pipeline, training and the command line.

The names below are imported when they are asked for, so that `worldmodel --help` need not wait for
torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldmodel.device import Compute, choose_compute
    from worldmodel.dynamics import Dynamics
    from worldmodel.pipeline import RolloutOutput, StepOutput, WorldModelPipeline
    from worldmodel.rollout_state import RolloutState
    from worldmodel.runs import RunDirectory

__all__ = [
    "Compute",
    "Dynamics",
    "RolloutOutput",
    "RolloutState",
    "RunDirectory",
    "StepOutput",
    "WorldModelPipeline",
    "__version__",
    "choose_compute",
]

__version__ = "0.1.0"

_HOMES = {
    "Compute": "device",
    "Dynamics": "dynamics",
    "RolloutOutput": "pipeline",
    "RolloutState": "rollout_state",
    "RunDirectory": "runs",
    "StepOutput": "pipeline",
    "WorldModelPipeline": "pipeline",
    "choose_compute": "device",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"worldmodel.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'worldmodel' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
