"""Bootstrap intervals over independent cases: episodes, utterances, questions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

__all__ = ["Interval", "mean_figure", "median_interval", "ratio_interval"]


class Interval(NamedTuple):
    """A figure with its 95% percentile interval.

    Attributes:
        value: the estimate.
        low: lower end.
        high: upper end.
        count: cases it rests on.
    """

    value: float
    low: float
    high: float
    # Nobody counts values in an interval, which is what a tuple's own method does.
    count: int  # type: ignore[assignment]


def ratio_interval(
    numerator: NDArray[Any],
    denominator: NDArray[Any] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval | None:
    """A ratio of sums over cases with its interval.

    With errors over counts this is the mean over all that is counted, with errors over a baseline's
    errors the share that is left, and without a denominator the mean over cases.

    Args:
        numerator: (E,), one number per case.
        denominator: (E,), ones by default; cases of zero do not count.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        The interval, or None where no case counts.
    """
    top = np.asarray(numerator, dtype=np.float64)
    bottom = np.ones_like(top) if denominator is None else np.asarray(denominator, np.float64)
    counts = bottom > 0
    top, bottom = top[counts], bottom[counts]
    if len(top) == 0:
        return None
    value = float(top.sum() / bottom.sum())
    if len(top) == 1:
        return Interval(value, value, value, 1)
    interval = bootstrap(
        (top, bottom),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        n_resamples=resamples,
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(value, float(interval.low), float(interval.high), len(top))


def mean_figure(values: NDArray[Any], resamples: int) -> dict[str, float]:
    """The mean over cases with its interval, as reports hold it: value, low, high and count.

    Args:
        values: (E,), one number per case; E at least 1.
        resamples: bootstrap resamples.
    """
    interval = ratio_interval(values, resamples=resamples)
    assert interval is not None
    return dict(interval._asdict())


def median_interval(
    values: NDArray[Any], *, resamples: int = 1000, seed: int = 0
) -> Interval | None:
    """The median over cases with its interval: what a few cases that are far off do not move.

    Args:
        values: (E,), one number per case.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        The interval, or None where there is no case.
    """
    cases = np.asarray(values, dtype=np.float64)
    if len(cases) == 0:
        return None
    drawn = np.random.default_rng(seed).integers(len(cases), size=(resamples, len(cases)))
    low, high = np.percentile(np.median(cases[drawn], axis=1), [2.5, 97.5])
    return Interval(float(np.median(cases)), float(low), float(high), len(cases))
