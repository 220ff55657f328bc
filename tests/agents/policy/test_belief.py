"""The measures of belief on cases whose answers are known."""

import numpy as np
import pytest

from agents.policy.belief import mean_rank_violation, optimism_bias, pearson


def test_a_perfect_ranking_has_no_violation_and_correlation_one() -> None:
    truth = np.array([0.1, 0.4, 0.9])
    assert mean_rank_violation(model=truth * 0.5, truth=truth) == 0
    assert pearson(model=truth * 0.5, truth=truth) == pytest.approx(1)


def test_a_swap_costs_its_true_difference_to_both() -> None:
    truth = np.array([0.0, 0.3, 1.0])
    model = np.array([0.3, 0.0, 1.0])
    assert mean_rank_violation(model=model, truth=truth) == pytest.approx((0.3 + 0.3 + 0) / 3)


def test_ties_in_the_model_are_no_violation() -> None:
    assert mean_rank_violation(model=np.zeros(3), truth=np.array([0.0, 0.5, 1.0])) == 0


def test_optimism_counts_only_what_failed_in_truth() -> None:
    model = np.array([True, True, False, True])
    truth = np.array([True, False, False, False])
    assert optimism_bias(model=model, truth=truth) == pytest.approx(2 / 3)
    assert optimism_bias(model=model, truth=np.ones(4, bool)) is None


def test_constant_scores_have_no_correlation() -> None:
    assert pearson(model=np.zeros(3), truth=np.arange(3.0)) is None
