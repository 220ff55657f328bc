"""The Gymnasium ids of this package.

From Gymnasium 1.0 on packages register when they are imported: `import envs`, or an id that names
the module, `gymnasium.make("envs:worldmodel/Push-v0")`. Older ones call `register` through the
`gymnasium.envs` entry point.
"""

from __future__ import annotations

from typing import Any, Final

import gymnasium as gym

__all__ = ["ENVIRONMENT_IDS", "register"]

_LEARNED: Final = "envs.learned:WorldModelEnv"
_LEARNED_VECTOR: Final = "envs.learned_vector:WorldModelVectorEnv"

# Each environment counts its own steps, so that saving one keeps the count: no TimeLimit here.
_SPECS: Final[dict[str, dict[str, Any]]] = {
    "worldmodel/Push-v0": {"entry_point": "envs.push:PushWorld"},
    "worldmodel/Reading-v0": {"entry_point": "envs.reading:ReadingWorld"},
    "worldmodel/Mujoco-v0": {"entry_point": "envs.adapter:GymnasiumWorld"},
    "worldmodel/Learned-v0": {"entry_point": _LEARNED, "vector_entry_point": _LEARNED_VECTOR},
    "worldmodel/PushLearned-v0": {
        "entry_point": _LEARNED,
        "vector_entry_point": _LEARNED_VECTOR,
        "kwargs": {"checkpoint": "push"},
    },
}
ENVIRONMENT_IDS: Final[tuple[str, ...]] = tuple(_SPECS)


def register() -> None:
    """Make `gymnasium.make` and `gymnasium.make_vec` know the ids; a second call does nothing."""
    for name, spec in _SPECS.items():
        if name not in gym.registry:
            gym.register(id=name, **spec)
