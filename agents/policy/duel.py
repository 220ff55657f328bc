"""The policy against its clone over more starts than all policies are put to.

Two policies that mostly succeed differ on few starts. Both play every start, and the interval is
over starts of the difference on each, so what is easy or hopeless for both widens nothing.
"""

from __future__ import annotations

import numpy as np

from agents.policy.trials import Outcomes
from worldmodel.intervals import ratio_interval

__all__ = ["duel_figures"]


def duel_figures(trained: Outcomes, cloned: Outcomes, resamples: int) -> dict[str, float]:
    """How much more often one policy succeeds than the other from the same starts.

    Args:
        trained: the one.
        cloned: the other, on the same starts in the same order.
        resamples: of the bootstrap.

    Returns:
        `success_over_cloning` with `_low` and `_high`, `success_cloning`, and of how many starts:
        `duel_trials`.
    """
    difference = trained.success.astype(float) - cloned.success
    interval = ratio_interval(difference, resamples=resamples)
    if interval is None:
        return {}
    return {
        "success_over_cloning": interval.value,
        "success_over_cloning_low": interval.low,
        "success_over_cloning_high": interval.high,
        "success_cloning": float(np.mean(cloned.success)),
        "duel_trials": float(len(difference)),
    }
