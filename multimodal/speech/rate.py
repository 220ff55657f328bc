"""Sound that comes in pieces at any rate, brought to 16 kHz without seams."""

from __future__ import annotations

from math import ceil, floor
from typing import Final

import numpy as np
import torch
from torch import Tensor

from multimodal.audio.log_mel import RATE_HZ

__all__ = ["RateConverter"]

# Zero crossings of the filter on either side, and where it begins to cut.
_CROSSINGS: Final = 12
_ROLL_OFF: Final = 0.94


class RateConverter:
    """Every sample at 16 kHz is a windowed sinc over the samples around it, wherever pieces end.

    Rates need not divide each other, and nothing drifts: sample k is taken at k / 16,000 seconds.

    Source: Smith and Gossett, "A flexible sampling-rate conversion method" (1984).

    Args:
        from_hz: rate of what comes in.
    """

    def __init__(self, from_hz: int) -> None:
        self._step = from_hz / RATE_HZ
        # In samples of what comes in; the lower rate of the two decides what may pass.
        self._cut = _ROLL_OFF * min(1.0, RATE_HZ / from_hz)
        self._reach = ceil(_CROSSINGS / self._cut)
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._kept = np.zeros(self._reach, np.float32)
        # Number of the first kept sample in all that came in, and of the next sample to give.
        self._first, self._next = -self._reach, 0

    def push(self, sound: Tensor) -> Tensor:
        """Convert the next piece.

        Args:
            sound: float32 (S,) of any length.

        Returns:
            float32 (N,) at 16 kHz: all samples whose surroundings have come in.
        """
        self._kept = np.concatenate([self._kept, sound.numpy()])
        heard = self._first + len(self._kept)
        count = floor((heard - 1 - self._reach) / self._step) + 1
        return self._give(max(0, count - self._next))

    def finish(self) -> Tensor:
        """The samples that still waited for their surroundings, as if silence followed."""
        ends = self._first + len(self._kept)
        self._kept = np.concatenate([self._kept, np.zeros(self._reach + 1, np.float32)])
        return self._give(max(0, ceil(ends / self._step) - self._next))

    def _give(self, count: int) -> Tensor:
        if not count:
            return torch.zeros(0)
        when = np.arange(self._next, self._next + count) * self._step
        nearest = np.floor(when).astype(np.int64)
        around = np.arange(1 - self._reach, self._reach + 1)
        apart = (when - nearest)[:, None] - around
        window = np.cos(np.pi / 2 * np.clip(apart / self._reach, -1, 1)) ** 2
        weights = self._cut * np.sinc(self._cut * apart) * window
        # Gaps between the taps make the sum waver a little: constant sound shall stay constant.
        weights /= weights.sum(1, keepdims=True)
        samples = self._kept[
            np.minimum(nearest[:, None] + around - self._first, len(self._kept) - 1)
        ]
        self._next += count
        used = max(0, floor(self._next * self._step) - self._reach - self._first)
        self._kept, self._first = self._kept[used:], self._first + used
        return torch.from_numpy((weights * samples).sum(1).astype(np.float32))
