"""Perceptual hashes: 256 bits that stay when a picture is compressed, dimmed or grainy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.fft import dctn

from multimodal.errors import FrameError

__all__ = ["BITS", "hash_distances", "perceptual_hash"]

BITS = 256
_SIDE_PX = 32
_KEPT = 16


def perceptual_hash(frames: NDArray[Any]) -> NDArray[np.uint64]:
    """Signs of the lowest spatial frequencies (pHash), against their median.

    Args:
        frames: uint8 (B, H, W, 3).

    Returns:
        uint64 (B, 4).

    Raises:
        FrameError: another rank, dtype or number of channels.
    """
    array = np.asarray(frames)
    if array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8:
        raise FrameError(f"Expected uint8 frames (B, H, W, 3), got {array.dtype} {array.shape}.")
    grey = torch.from_numpy(array.astype(np.float32).mean(-1))[:, None]
    small = F.interpolate(grey, (_SIDE_PX, _SIDE_PX), mode="area")[:, 0].numpy()
    waves = dctn(small, axes=(1, 2), norm="ortho")[:, :_KEPT, :_KEPT].reshape(len(array), -1)
    # The mean brightness is no part of what is seen.
    waves[:, 0] = 0
    signs = waves > np.median(waves, axis=1, keepdims=True)
    hashes: NDArray[np.uint64] = np.packbits(signs, axis=1).view(np.uint64)
    return hashes


def hash_distances(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
    """In how many bits hashes (X, 4) and (Y, 4) differ, int64 (X, Y)."""
    apart: NDArray[np.int64] = np.bitwise_count(one[:, None] ^ other[None]).sum(-1, dtype=np.int64)
    return apart
