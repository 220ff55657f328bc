"""From a measurement to the report's figures, curves and rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.gap.measure import Measurement
from envs.gap.metrics import (
    Counting,
    divergence_steps,
    moved_objects,
    object_errors_m,
    permanence_counts,
    pusher_errors_m,
    score,
)
from envs.gap.quality import probe_quality
from envs.gap.readings import Readings
from envs.gap.schema import EpisodeScore, Figure, GapReport, Setup
from envs.gap.targets import judged
from envs.gap.traces import Trace

__all__ = ["assemble"]

Floats = NDArray[np.float64]


def assemble(found: Measurement, setup: Setup) -> GapReport:
    """Make the report of a measurement.

    Args:
        found: what was measured.
        setup: how it was measured; horizons, seed and resamples are taken from it.
    """
    counting = Counting(tuple(setup.horizons), setup.resamples, setup.seed)
    frozen = found.traces["frozen"]
    scores = {
        source: score(trace, frozen, found.truth, counting)
        for source, trace in found.traces.items()
    }
    if "twins_exact" in scores:
        # Its frames are the twins'; only the positions come from MuJoCo instead of the probe.
        scores["twins_exact"] = {
            name: figure
            for name, figure in scores["twins_exact"].items()
            if not name.startswith(("psnr", "ssim"))
        }
    scores["learned"] |= _comparisons(found, counting)
    return GapReport(
        setup=setup,
        probe=None if found.probed is None else probe_quality(*found.probed),
        targets=judged(scores["learned"]) if found.truth is not None else [],
        scores=scores,
        curves={
            source: _curves(trace, found.truth)
            for source, trace in found.traces.items()
            if source != "twins_exact"
        },
        per_episode=_rows(found),
    )


def _comparisons(found: Measurement, counting: Counting) -> dict[str, Figure]:
    """Figures that hold two sources against each other."""
    learned, random = found.traces["learned"], found.traces["random"]
    figures: dict[str, Figure | None] = {
        f"delta_psnr_{h}": counting.figure(learned.psnr_db[:, h - 1] - random.psnr_db[:, h - 1])
        for h in counting.horizons
        if h <= random.steps
    }
    figures[f"physics_iq_{min(64, learned.steps)}"] = counting.figure(found.physics_iq)
    twins = found.traces["twins"].readings
    if found.truth is not None and learned.readings is not None and twins is not None:
        future = found.truth[:, 1:]
        reach, twin_reach = (
            np.minimum(divergence_steps(seen, future), learned.steps).astype(np.float64)
            for seen in (learned.readings, twins)
        )
        figures["divergence_horizon_over_twins"] = counting.figure(reach, twin_reach)
    return {name: figure for name, figure in figures.items() if figure is not None}


def _curves(trace: Trace, truth: Readings | None) -> dict[str, list[float | None]]:
    """Means over episodes after each step."""
    curves = {"psnr_db": _listed(trace.psnr_db.mean(0))}
    if truth is None or trace.readings is None:
        return curves
    start, future = truth[:, 0], truth[:, 1 : trace.steps + 1]
    made = trace.readings
    moved = moved_objects(start, future)
    errors = np.where(moved, object_errors_m(made, future), np.nan)
    right, due = permanence_counts(made, future)
    with warnings.catch_warnings():
        # Steps at which nothing has moved yet have no mean; they stay empty.
        warnings.simplefilter("ignore", RuntimeWarning)
        curves["object_error_m"] = _listed(np.nanmean(errors, axis=(0, 2)))
    curves["pusher_error_m"] = _listed(pusher_errors_m(made, future).mean(0))
    curves["permanence"] = _listed(right.sum(0) / np.maximum(due.sum(0), 1))
    return curves


def _rows(found: Measurement) -> list[EpisodeScore]:
    learned = found.traces["learned"]
    errors: list[Any] = [None] * len(found.seeds)
    lasting: list[Any] = [None] * len(found.seeds)
    diverged: list[Any] = [None] * len(found.seeds)
    if found.truth is not None and learned.readings is not None:
        future = found.truth[:, 1:]
        bodies = np.concatenate(
            [
                object_errors_m(learned.readings, future),
                pusher_errors_m(learned.readings, future)[..., None],
            ],
            axis=-1,
        )
        errors = [float(np.nanmean(episode)) for episode in bodies]
        right, due = permanence_counts(learned.readings, future)
        lasting = [float(share) for share in right.sum(1) / np.maximum(due.sum(1), 1)]
        first = divergence_steps(learned.readings, future)
        diverged = [int(step) if step <= learned.steps else None for step in first]
    return [
        EpisodeScore(
            seed=seed,
            psnr_db=float(learned.psnr_db[index].mean()),
            position_error_m=errors[index],
            permanence=lasting[index],
            divergence_step=diverged[index],
        )
        for index, seed in enumerate(found.seeds)
    ]


def _listed(values: Floats) -> list[float | None]:
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values]
