"""One source's video against the truth, step by step, before anything is averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.gap.pixels import psnr_db, ssim
from envs.gap.probe import StateProbe
from envs.gap.readings import Readings

__all__ = ["Trace", "frozen_trace", "trace_of"]


@dataclass(frozen=True)
class Trace:
    """Per-step measures of E episodes; entry t - 1 along T belongs to step t.

    Attributes:
        psnr_db: (E, T).
        ssim: horizon → (E,).
        readings: what the probe saw (E, T), None in worlds without named objects.
    """

    psnr_db: NDArray[np.float64]
    ssim: dict[int, NDArray[np.float64]]
    readings: Readings | None

    @property
    def steps(self) -> int:
        """T."""
        return int(self.psnr_db.shape[1])

    @staticmethod
    def concatenate(parts: Sequence[Trace]) -> Trace:
        """Join along episodes."""
        seen = [part.readings for part in parts if part.readings is not None]
        return Trace(
            psnr_db=np.concatenate([part.psnr_db for part in parts]),
            ssim={
                horizon: np.concatenate([part.ssim[horizon] for part in parts])
                for horizon in parts[0].ssim
            },
            readings=Readings.concatenate(seen) if seen else None,
        )


def trace_of(
    made: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    probe: StateProbe | None,
    horizons: Sequence[int],
) -> Trace:
    """Measure a video against the truth.

    Args:
        made: uint8 (E, T, H, W, 3), steps 1..T.
        truth: uint8 (E, at least T, H, W, 3), steps 1...
        probe: reads positions, or None.
        horizons: steps at which SSIM is taken; those beyond T are left out.
    """
    steps = made.shape[1]
    # One episode at a time: flattening a slice of several would copy all their frames.
    pairs = zip(made, truth[:, :steps], strict=True)
    return Trace(
        psnr_db=np.stack([psnr_db(mine, real) for mine, real in pairs]),
        ssim={h: ssim(made[:, h - 1], truth[:, h - 1]) for h in horizons if h <= steps},
        readings=None if probe is None else _read(probe, made),
    )


def _read(probe: StateProbe, frames: NDArray[np.uint8]) -> Readings:
    return Readings.concatenate([probe.read(episode[None]) for episode in frames])


def frozen_trace(
    first: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    probe: StateProbe | None,
    horizons: Sequence[int],
) -> Trace:
    """Measure a video that repeats its first frame, without holding the repetition.

    Args:
        first: uint8 (E, H, W, 3), step 0.
        truth: uint8 (E, T, H, W, 3), steps 1..T.
        probe: reads positions, or None.
        horizons: steps at which SSIM is taken.
    """
    steps = truth.shape[1]
    still = np.broadcast_to(first[:, None], truth.shape)
    per_step = [psnr_db(still[:, t], truth[:, t]) for t in range(steps)]
    return Trace(
        psnr_db=np.stack(per_step, axis=1),
        ssim={h: ssim(still[:, h - 1], truth[:, h - 1]) for h in horizons if h <= steps},
        readings=None if probe is None else probe.read(first[:, None]).repeated(steps),
    )
