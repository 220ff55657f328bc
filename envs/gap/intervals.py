"""Bootstrap intervals over episodes: steps of one episode are not independent, episodes are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from envs.gap.schema import Figure

__all__ = ["ratio_figure"]


def ratio_figure(
    numerator: NDArray[Any],
    denominator: NDArray[Any] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Figure | None:
    """A ratio of sums over episodes with its 95% percentile interval.

    With errors over counts this is the mean over all objects, with errors over the frozen
    baseline's errors the share that is left, and without a denominator the mean over episodes.

    Args:
        numerator: (E,), one number per episode.
        denominator: (E,), ones by default; episodes of zero do not count.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        The figure, or None where no episode counts.
    """
    top = np.asarray(numerator, dtype=np.float64)
    bottom = np.ones_like(top) if denominator is None else np.asarray(denominator, np.float64)
    counts = bottom > 0
    top, bottom = top[counts], bottom[counts]
    if len(top) == 0:
        return None
    value = float(top.sum() / bottom.sum())
    if len(top) == 1:
        return Figure(value=value, low=value, high=value, episodes=1)
    interval = bootstrap(
        (top, bottom),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        n_resamples=resamples,
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Figure(
        value=value, low=float(interval.low), high=float(interval.high), episodes=len(top)
    )
