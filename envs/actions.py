"""Is an action one that an environment can take?"""

from __future__ import annotations

from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from multimodal.errors import ActionError

__all__ = ["ActionSpace", "checked_action"]

ActionSpace: TypeAlias = "gym.spaces.Box[np.float32]"


def checked_action(action: Any, space: ActionSpace) -> NDArray[np.float32]:
    """An action as float32 of the space's shape, or an error that says what is wrong with it.

    Args:
        action: what the caller passed to `step`.
        space: the environment's action space.

    Raises:
        ActionError: wrong shape, not a number, not finite or outside the space.
    """
    try:
        array = np.asarray(action, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ActionError(f"An action must be numbers, got {action!r}: {error}.") from error
    if array.shape != space.shape:
        raise ActionError(
            f"An action must have shape {space.shape}, got {array.shape}. "
            "Pass one number for each actuator."
        )
    if not np.isfinite(array).all():
        raise ActionError(f"An action must be finite, got {array}. Check the policy for NaN.")
    if (array < space.low - 1e-6).any() or (array > space.high + 1e-6).any():
        raise ActionError(
            f"An action must lie between {space.low} and {space.high}, got {array}. "
            "Clip it, or wrap the environment in gymnasium.wrappers.ClipAction."
        )
    return np.clip(array, space.low, space.high)
