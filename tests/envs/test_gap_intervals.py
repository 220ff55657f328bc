"""Bootstrap intervals over episodes."""

import numpy as np
import pytest

from envs.gap.intervals import ratio_figure


def test_a_mean_lies_inside_its_interval():
    values = np.random.default_rng(0).normal(5, 1, 40)
    figure = ratio_figure(values)
    assert figure.value == pytest.approx(values.mean())
    assert figure.low < figure.value < figure.high
    assert figure.episodes == 40


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(100):
        figure = ratio_figure(rng.normal(0, 1, 30), resamples=300, seed=trial)
        covered += figure.low <= 0 <= figure.high
    assert 85 <= covered <= 99


def test_a_ratio_weighs_episodes_by_their_denominator():
    figure = ratio_figure(np.array([1.0, 9.0]), np.array([1.0, 3.0]))
    assert figure.value == pytest.approx(2.5)


def test_episodes_without_data_do_not_count():
    figure = ratio_figure(np.array([1.0, 0.0, 3.0]), np.array([1.0, 0.0, 1.0]))
    assert figure.value == 2
    assert figure.episodes == 2


def test_without_any_data_there_is_no_figure():
    assert ratio_figure(np.zeros(3), np.zeros(3)) is None


def test_equal_episodes_have_an_interval_of_no_width():
    figure = ratio_figure(np.full(5, 2.0))
    assert figure.low == figure.high == 2


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(2).normal(size=12)
    assert ratio_figure(values, seed=3) == ratio_figure(values, seed=3)
