"""Bootstrap intervals over independent cases."""

import numpy as np
import pytest

from worldmodel.intervals import median_interval, ratio_interval


def test_a_mean_lies_inside_its_interval():
    values = np.random.default_rng(0).normal(5, 1, 40)
    interval = ratio_interval(values)
    assert interval.value == pytest.approx(values.mean())
    assert interval.low < interval.value < interval.high
    assert interval.count == 40


def test_more_cases_make_it_narrower():
    values = np.random.default_rng(0).normal(5, 1, 400)
    few, many = ratio_interval(values[:25]), ratio_interval(values)
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_cases_of_weight_zero_do_not_count():
    interval = ratio_interval(np.array([1.0, 0.0, 9.0]), np.array([1.0, 0.0, 3.0]))
    assert interval.value == 2.5
    assert interval.count == 2
    assert ratio_interval(np.zeros(3), np.zeros(3)) is None


def test_one_case_has_an_interval_of_no_width():
    assert ratio_interval(np.array([3.0])) == (3.0, 3.0, 3.0, 1)


def test_a_case_far_off_does_not_move_the_median():
    values = np.arange(21.0)
    interval, far = median_interval(values), median_interval(np.append(values[:-1], 1e6))
    assert interval.value == far.value == 10
    assert 5 < interval.low < 10 < interval.high < 15
    assert far.high < 20
    assert interval.count == 21
    assert median_interval(np.array([])) is None
