"""Where the bodies are in a batch of frames, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.gap.probe import StateProbe

__all__ = ["Bodies", "read_bodies"]


@dataclass(frozen=True, eq=False)
class Bodies:
    """Readings of frames with leading axes `...`, one column per colour.

    Attributes:
        pusher_m: float64 (..., 2).
        position_m: float64 (..., K, 2); says nothing where presence is low.
        presence: probability that an object of that colour is seen, float64 (..., K).
        shape: probability of each shape, float64 (..., K, shapes).
    """

    pusher_m: NDArray[np.float64]
    position_m: NDArray[np.float64]
    presence: NDArray[np.float64]
    shape: NDArray[np.float64]

    def __getitem__(self, index: int | slice) -> Bodies:
        """Index the first axis of every array at once."""
        return Bodies(
            self.pusher_m[index], self.position_m[index], self.presence[index], self.shape[index]
        )

    @staticmethod
    def stack(parts: Sequence[Bodies], axis: int = 0) -> Bodies:
        """Put readings side by side along a new axis."""
        return Bodies(
            np.stack([part.pusher_m for part in parts], axis),
            np.stack([part.position_m for part in parts], axis),
            np.stack([part.presence for part in parts], axis),
            np.stack([part.shape for part in parts], axis),
        )


@torch.inference_mode()
def read_bodies(probe: StateProbe, frames_NHWC: Tensor | NDArray[np.uint8]) -> Bodies:
    """Read frames with the state probe, probabilities included.

    Args:
        probe: of the frames' size.
        frames_NHWC: uint8 (N, H, W, 3).

    Raises:
        FrameError: frames of another size than the probe was built for.
    """
    out = probe(
        torch.as_tensor(
            np.array(frames_NHWC) if isinstance(frames_NHWC, np.ndarray) else frames_NHWC
        ).to(probe.device)
    )
    place = probe.peaks(out.heat).double().cpu().numpy()
    return Bodies(
        pusher_m=place[:, -1],
        position_m=place[:, :-1],
        presence=out.presence.sigmoid().double().cpu().numpy(),
        shape=out.shape.softmax(-1).double().cpu().numpy(),
    )
