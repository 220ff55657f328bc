"""How far a ranking of policies in the model can be believed: correlation and rank violations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr

__all__ = ["mean_rank_violation", "optimism_bias", "pearson"]


def pearson(*, model: NDArray[Any], truth: NDArray[Any]) -> float | None:
    """Pearson's r of the policies' scores, or None where one side is constant.

    Args:
        model: scores in the model (P,).
        truth: scores in MuJoCo (P,).
    """
    if len(model) < 2 or np.ptp(model) == 0 or np.ptp(truth) == 0:
        return None
    return float(pearsonr(model, truth).statistic)


def mean_rank_violation(*, model: NDArray[Any], truth: NDArray[Any]) -> float:
    """Mean maximum rank violation (SIMPLER, arXiv 2405.05941): how bad the worst swap is.

    For every policy the largest true difference to another that the model ranks the other way
    round, averaged over policies. Ties in the model are no violation. Keyword arguments only,
    since the two sides are easily swapped.

    Args:
        model: scores in the model (P,).
        truth: scores in MuJoCo (P,).

    Returns:
        Zero for a perfect ranking, in units of the true score.
    """
    model, truth = np.asarray(model, float), np.asarray(truth, float)
    modelled = np.sign(model[:, None] - model[None])
    true = np.sign(truth[:, None] - truth[None])
    violated = modelled * true < 0
    gaps = np.abs(truth[:, None] - truth[None]) * violated
    return float(gaps.max(1).mean())


def optimism_bias(*, model: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float | None:
    """Chance that the model sees success where MuJoCo sees failure, None if nothing failed.

    Args:
        model: success of each trial in the model (E,).
        truth: success of the same trial in MuJoCo (E,).
    """
    failed = ~np.asarray(truth)
    return float(np.asarray(model)[failed].mean()) if failed.any() else None
