"""Bootstrap intervals over episodes: steps of one episode are not independent, episodes are."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from envs.gap.schema import Figure
from worldmodel.intervals import ratio_interval

__all__ = ["ratio_figure"]


def ratio_figure(
    numerator: NDArray[Any],
    denominator: NDArray[Any] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Figure | None:
    """A ratio of sums over episodes with its 95% percentile interval.

    Args:
        numerator: (E,), one number per episode.
        denominator: (E,), ones by default; episodes of zero do not count.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        The figure, or None where no episode counts.
    """
    interval = ratio_interval(numerator, denominator, resamples=resamples, seed=seed)
    if interval is None:
        return None
    value, low, high, episodes = interval
    return Figure(value=value, low=low, high=high, episodes=episodes)
