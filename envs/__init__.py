"""Where things happen: MuJoCo worlds, the learned environment, the gap between the two, recording.

Importing this package registers the `worldmodel/...` ids with Gymnasium and nothing more: OpenGL
is opened by the first MuJoCo world and torch is imported by the first learned environment.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from envs.registration import register

if TYPE_CHECKING:
    from envs.adapter import GymnasiumWorld, make_world
    from envs.behaviours import Behaviour, make_behaviour
    from envs.learned import WorldModelEnv
    from envs.learned_vector import WorldModelVectorEnv
    from envs.mujoco_world import Contact, MujocoWorld, WorldState
    from envs.push import PushWorld
    from envs.push_goals import PushGoal
    from envs.rendering import opengl_backend
    from envs.vector_checker import VectorEnvError, check_vector_env

__all__ = [
    "Behaviour",
    "Contact",
    "GymnasiumWorld",
    "MujocoWorld",
    "PushGoal",
    "PushWorld",
    "VectorEnvError",
    "WorldModelEnv",
    "WorldModelVectorEnv",
    "WorldState",
    "check_vector_env",
    "make_behaviour",
    "make_world",
    "opengl_backend",
    "register",
]

_HOMES = {
    "Behaviour": "behaviours",
    "Contact": "mujoco_world",
    "GymnasiumWorld": "adapter",
    "MujocoWorld": "mujoco_world",
    "PushGoal": "push_goals",
    "PushWorld": "push",
    "VectorEnvError": "vector_checker",
    "WorldModelEnv": "learned",
    "WorldModelVectorEnv": "learned_vector",
    "WorldState": "mujoco_world",
    "check_vector_env": "vector_checker",
    "make_behaviour": "behaviours",
    "make_world": "adapter",
    "opengl_backend": "rendering",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"envs.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'envs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register()
