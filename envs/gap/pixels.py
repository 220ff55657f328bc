"""How alike two videos are as pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from multimodal.errors import FrameError

__all__ = ["PSNR_CEILING_DB", "physics_iq", "psnr_db", "ssim"]

PSNR_CEILING_DB = 60.0
"""Equal frames have infinite PSNR. Rounding to 8 bits alone costs 58.9 dB, so what is better
than 60 dB counts as 60, or one motionless frame would decide the frozen baseline's mean."""

_BATCH = 256
_MOTION_THRESHOLD = 26
Video = NDArray[np.uint8]


def psnr_db(made: Video, truth: Video) -> NDArray[np.float64]:
    """PSNR of each frame in dB, at most `PSNR_CEILING_DB`.

    Args:
        made: uint8 (..., H, W, 3).
        truth: uint8, the same shape.

    Returns:
        (...), one number per frame.

    Raises:
        FrameError: the shapes or dtypes differ.
    """

    def measure(a: Tensor, b: Tensor) -> Tensor:
        value: Tensor = peak_signal_noise_ratio(
            a, b, data_range=1.0, dim=(1, 2, 3), reduction="none"
        )
        return value

    return np.minimum(_per_frame(measure, made, truth), PSNR_CEILING_DB)


def ssim(made: Video, truth: Video) -> NDArray[np.float64]:
    """Structural similarity of each frame (Wang et al. 2004), 1 at best; arguments as `psnr_db`."""

    def measure(a: Tensor, b: Tensor) -> Tensor:
        value: Tensor = structural_similarity_index_measure(a, b, data_range=1.0, reduction="none")
        return value.reshape(len(a))

    return _per_frame(measure, made, truth)


def _per_frame(
    measure: Callable[[Tensor, Tensor], Tensor], made: Video, truth: Video
) -> NDArray[np.float64]:
    if made.shape != truth.shape or made.dtype != np.uint8 or truth.dtype != np.uint8:
        raise FrameError(
            f"Two uint8 videos of one shape were expected; got {made.dtype} {made.shape} and "
            f"{truth.dtype} {truth.shape}. Cut both to the same steps."
        )
    flat_made, flat_truth = (v.reshape(-1, *v.shape[-3:]) for v in (made, truth))
    values = [
        measure(_floats(flat_made[i : i + _BATCH]), _floats(flat_truth[i : i + _BATCH]))
        for i in range(0, len(flat_made), _BATCH)
    ]
    joined: NDArray[np.float64] = torch.cat(values).double().numpy()
    return joined.reshape(made.shape[:-3])


def _floats(frames: Video) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255


def physics_iq(made: Video, truth: Video, twin: Video, first: Video) -> NDArray[np.float64]:
    """Where, when and how much things move, relative to what a twin of the truth achieves.

    Physics-IQ (Motamed et al. 2025) in its per-scene form: the mean of clip(IoU / IoU_twin) for
    spatial, spatiotemporal and weighted spatial IoU of the motion masks and of
    clip(MSE_twin / MSE), each clipped to [0, 1].

    Args:
        made: uint8 (E, T, H, W, 3), without the first frame.
        truth: as `made`.
        twin: as `made`.
        first: uint8 (E, H, W, 3), the frame all three start from.

    Returns:
        (E,), 100 at best.
    """
    scenes = zip(made, truth, twin, first, strict=True)
    return 100 * np.array([_scene_iq(*scene) for scene in scenes])


def _scene_iq(made: Video, truth: Video, twin: Video, first: Video) -> float:
    true_motion, made_motion, twin_motion = (_motion(v, first) for v in (truth, made, twin))
    shares = [
        _share(a, b)
        for a, b in zip(
            _overlaps(made_motion, true_motion), _overlaps(twin_motion, true_motion), strict=True
        )
    ]
    errors = [_squared_error(video, truth) for video in (twin, made)]
    return float(np.mean([*shares, _share(*errors)]))


def _share(part: float, whole: float) -> float:
    """clip(part / whole) with 0/0 = 1: nothing was to be matched and nothing was missed."""
    return min(1.0, part / whole) if whole > 0 else 1.0


def _squared_error(a: Video, b: Video) -> float:
    return float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))


def _motion(video: Video, first: Video) -> NDArray[np.bool_]:
    change = np.abs(video.astype(np.int16) - first.astype(np.int16)).max(-1)
    moved: NDArray[np.bool_] = change > _MOTION_THRESHOLD
    return moved


def _overlaps(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Spatial, spatiotemporal and weighted spatial intersection over union."""

    def over(intersection: float, union: float) -> float:
        return float(intersection / union) if union else 1.0

    where_a, where_b = a.any(0), b.any(0)
    weight_a, weight_b = a.mean(0), b.mean(0)
    return (
        over((where_a & where_b).sum(), (where_a | where_b).sum()),
        over((a & b).sum(), (a | b).sum()),
        over(np.minimum(weight_a, weight_b).sum(), np.maximum(weight_a, weight_b).sum()),
    )
