"""The figures of the gap, from traces: where things are, whether they are there, for how long.

A figure "at horizon h" is taken at step h exactly. Steps count from 1; step 0 is the last frame
that was given to the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.gap.intervals import ratio_figure
from envs.gap.readings import Readings
from envs.gap.schema import Figure
from envs.gap.traces import Trace

__all__ = [
    "DIVERGENCE_M",
    "MOVED_M",
    "Counting",
    "divergence_steps",
    "moved_objects",
    "object_errors_m",
    "permanence_counts",
    "pusher_errors_m",
    "score",
]

MOVED_M = 0.01
DIVERGENCE_M = 0.02
_DIVERGENCE_STEPS = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Counting:
    """How figures are made.

    Attributes:
        horizons: steps at which figures are taken.
        resamples: of the bootstrap over episodes.
        seed: of the bootstrap.
    """

    horizons: tuple[int, ...]
    resamples: int = 1000
    seed: int = 0

    def figure(self, top: NDArray[np.generic], bottom: Floats | None = None) -> Figure | None:
        """A mean over episodes, or a ratio of sums over them, with its interval."""
        return ratio_figure(top, bottom, resamples=self.resamples, seed=self.seed)


def pusher_errors_m(made: Readings, truth: Readings) -> Floats:
    """Distance of the pusher from the truth in metres, (E, T)."""
    distance: Floats = np.linalg.norm(made.pusher_m - truth.pusher_m, axis=-1).astype(np.float64)
    return distance


def object_errors_m(made: Readings, truth: Readings) -> Floats:
    """Distance of each object from the truth in metres, (E, T, K).

    NaN where the truth has no such object, or where it was not seen: a vanished object has no
    position, and counts in the permanence instead.
    """
    distance = np.linalg.norm(made.position_m - truth.position_m, axis=-1).astype(np.float64)
    return np.where(made.present & truth.present, distance, np.nan)


def moved_objects(start: Readings, truth: Readings) -> NDArray[np.bool_]:
    """Objects that lie more than `MOVED_M` from where they were at step 0, (E, T, K).

    Args:
        start: readings of step 0, (E,).
        truth: readings of steps 1..T, (E, T).
    """
    shift = np.linalg.norm(truth.position_m - start.position_m[:, None], axis=-1)
    moved: NDArray[np.bool_] = truth.present & (shift > MOVED_M)
    return moved


def permanence_counts(made: Readings, truth: Readings) -> tuple[Floats, Floats]:
    """Objects rightly there and objects that count, per frame, each (E, T).

    An object is rightly there when one of its colour is seen with its shape. What counts are the
    objects of the truth and every object too many: of a colour that is not there, or a copy.
    """
    right = truth.present & made.present & (made.shape == truth.shape)
    extra = np.maximum(made.copies - truth.copies, 0)
    due = truth.present.sum(-1) + extra.sum(-1)
    return right.sum(-1).astype(np.float64), due.astype(np.float64)


def divergence_steps(made: Readings, truth: Readings) -> NDArray[np.int64]:
    """First step at which a body is more than `DIVERGENCE_M` off or gone, (E,); T + 1 if never.

    It has to stay so for three steps, so that one misread frame does not count.
    """
    distance = np.linalg.norm(made.position_m - truth.position_m, axis=-1)
    off = truth.present & (~made.present | (distance > DIVERGENCE_M))
    lost = off.any(-1) | (pusher_errors_m(made, truth) > DIVERGENCE_M)
    steps = lost.shape[1]
    span = min(_DIVERGENCE_STEPS, steps)
    windows = np.lib.stride_tricks.sliding_window_view(lost, span, axis=1)
    runs = windows.sum(axis=-1) == span
    first: NDArray[np.int64] = np.where(runs.max(axis=1), runs.argmax(axis=1), steps)
    return first + 1


def score(
    trace: Trace,
    frozen: Trace,
    truth: Readings | None,
    counting: Counting,
) -> dict[str, Figure]:
    """All figures of one source.

    Args:
        trace: the source, T steps.
        frozen: the frozen baseline, at least T steps.
        truth: readings of steps 0..T' with T' >= T, None in worlds without named objects.
        counting: horizons and bootstrap.

    Returns:
        Name → figure, such as `psnr_16`; a figure without data is left out.
    """
    figures = _pixel_figures(trace, frozen, counting)
    if truth is not None and trace.readings is not None and frozen.readings is not None:
        cut = slice(0, trace.steps)
        start, future = truth[:, 0], truth[:, 1 : trace.steps + 1]
        moved = moved_objects(start, future)
        still = object_errors_m(frozen.readings[:, cut], future)
        figures |= _position_figures(trace.readings, future, moved, still, counting)
        figures |= _lasting_figures(trace.readings, future, counting)
    return {name: figure for name, figure in figures.items() if figure is not None}


def _pixel_figures(trace: Trace, frozen: Trace, counting: Counting) -> dict[str, Figure | None]:
    figures: dict[str, Figure | None] = {}
    ahead: list[Figure] = []
    for h in counting.horizons:
        if h > trace.steps:
            continue
        at_h = trace.psnr_db[:, h - 1]
        figures[f"psnr_{h}"] = counting.figure(at_h)
        figures[f"psnr_mean_{h}"] = counting.figure(trace.psnr_db[:, :h].mean(1))
        figures[f"ssim_{h}"] = counting.figure(trace.ssim[h])
        lead = counting.figure(at_h - frozen.psnr_db[:, h - 1])
        figures[f"psnr_over_frozen_{h}"] = lead
        if lead is not None:
            ahead.append(lead)
    if ahead:
        figures["psnr_over_frozen_min"] = min(ahead, key=lambda figure: figure.value)
    return figures


def _position_figures(
    made: Readings,
    truth: Readings,
    moved: NDArray[np.bool_],
    still_m: Floats,
    counting: Counting,
) -> dict[str, Figure | None]:
    """Errors at each horizon; `still_m` are the frozen baseline's object errors (E, T, K)."""
    pusher = pusher_errors_m(made, truth)
    errors = object_errors_m(made, truth)
    figures: dict[str, Figure | None] = {}
    for h in (h for h in counting.horizons if h <= pusher.shape[1]):
        at = h - 1
        figures[f"pusher_error_m_{h}"] = counting.figure(pusher[:, at])
        figures[f"pusher_error_mean_m_{h}"] = counting.figure(pusher[:, :h].mean(1))
        known = moved[:, at] & ~np.isnan(errors[:, at]) & ~np.isnan(still_m[:, at])
        error = np.where(known, errors[:, at], 0).sum(-1)
        frozen = np.where(known, still_m[:, at], 0).sum(-1)
        figures[f"object_error_m_{h}"] = counting.figure(error, known.sum(-1))
        figures[f"object_error_over_frozen_{h}"] = counting.figure(error, frozen)
        # As if the model had left a vanished object where it was.
        due = moved[:, at] & ~np.isnan(still_m[:, at])
        strict = np.where(np.isnan(errors[:, at]), still_m[:, at], errors[:, at])
        figures[f"object_error_strict_m_{h}"] = counting.figure(
            np.where(due, strict, 0).sum(-1), due.sum(-1)
        )
        figures[f"moved_missing_{h}"] = counting.figure(
            (moved[:, at] & ~made.present[:, at]).sum(-1), moved[:, at].sum(-1)
        )
    return figures


def _lasting_figures(
    made: Readings, truth: Readings, counting: Counting
) -> dict[str, Figure | None]:
    right, due = permanence_counts(made, truth)
    steps = right.shape[1]
    figures: dict[str, Figure | None] = {
        f"permanence_{h}": counting.figure(right[:, :h].sum(1), due[:, :h].sum(1))
        for h in counting.horizons
        if h <= steps
    }
    first = divergence_steps(made, truth)
    figures["divergence_horizon_steps"] = counting.figure(np.minimum(first, steps))
    figures["diverged_share"] = counting.figure((first <= steps).astype(np.float64))
    return figures
