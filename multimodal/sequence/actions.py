"""Actions as tokens: each number in one of a few equal bins, or continuous as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import ActionError, ConfigError

__all__ = ["ActionBins", "checked_actions"]

# Actions are stored as float32, whose rounding may lie just outside of a bound.
_SLACK = 1e-5


def checked_actions(actions: Any) -> NDArray[np.float32]:
    """Actions as float32 (T, A).

    Raises:
        ActionError: another rank, no numbers, or numbers that are not finite.
    """
    try:
        array = np.asarray(actions, np.float32)
    except (TypeError, ValueError) as error:
        raise ActionError(f"actions are numbers (T, A), got {type(actions).__name__}.") from error
    if array.ndim != 2 or not array.shape[1]:
        raise ActionError(
            f"actions have shape (T, A), got {array.shape}; one action is action[None]."
        )
    if not np.isfinite(array).all():
        raise ActionError("actions hold NaN or infinite numbers; drop or replace those steps.")
    return array


@dataclass(frozen=True)
class ActionBins:
    """Equal bins between the bounds of each number of an action (as RT-1, arXiv 2212.06817).

    Attributes:
        low: lower bounds, (A,).
        high: upper bounds, (A,).
        bins: how many.

    Raises:
        ConfigError: fewer than two bins, or bounds that do not bound.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    bins: int = 33

    def __post_init__(self) -> None:
        bounded = len(self.low) == len(self.high) > 0 and np.isfinite([*self.low, *self.high]).all()
        if not bounded or any(a >= b for a, b in zip(self.low, self.high, strict=False)):
            raise ConfigError(f"low={self.low} and high={self.high} do not bound an action.")
        if self.bins < 2:
            raise ConfigError(f"bins={self.bins}; expected two or more.")

    def encode(self, actions: Any) -> NDArray[np.int64]:
        """Actions float (T, A) to bins int64 (T, A).

        Raises:
            ActionError: malformed, or outside of the bounds.
        """
        array = checked_actions(actions).astype(np.float64)
        low, high = np.array(self.low), np.array(self.high)
        if array.shape[1] != len(low):
            raise ActionError(f"actions have {array.shape[1]} numbers, expected {len(low)}.")
        slack = _SLACK * (high - low)
        if ((array < low - slack) | (array > high + slack)).any():
            raise ActionError(
                f"actions reach from {array.min(0)} to {array.max(0)}, outside of {self.low} to "
                f"{self.high}; clip them, or take the bounds of the action space."
            )
        share = (array - low) / (high - low)
        return np.clip(np.floor(share * self.bins), 0, self.bins - 1).astype(np.int64)

    def decode(self, bins: Any) -> NDArray[np.float32]:
        """The middles (T, A) of bins int (T, A): at most half a bin from what was encoded.

        Raises:
            ActionError: bins that do not exist.
        """
        array = np.asarray(bins)
        if array.ndim != 2 or array.shape[1] != len(self.low):
            raise ActionError(f"bins have shape (T, {len(self.low)}), got {array.shape}.")
        if array.size and (array.min() < 0 or array.max() >= self.bins):
            raise ActionError(f"bins are 0 to {self.bins - 1}, got {array.min()} to {array.max()}.")
        low, high = np.array(self.low), np.array(self.high)
        return (low + (array + 0.5) / self.bins * (high - low)).astype(np.float32)
