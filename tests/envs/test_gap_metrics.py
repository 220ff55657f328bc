"""The measures themselves: truth is perfect, twins nearly so, and every known failure is caught."""

from dataclasses import replace

import numpy as np
import pytest

from envs.gap.metrics import (
    Counting,
    divergence_steps,
    moved_objects,
    object_errors_m,
    permanence_counts,
    score,
)
from envs.gap.pixels import PSNR_CEILING_DB, physics_iq
from envs.gap.readings import Readings, truth_readings
from envs.gap.traces import Trace, trace_of
from envs.gap.truth import open_endless, record_truth
from envs.push_scene import COLOURS, TABLE_RGB
from tests.envs.colour_reader import read_by_colour

STEPS = 40
HORIZONS = (1, 16, STEPS)
COUNTING = Counting(HORIZONS, resamples=200)


@pytest.fixture(scope="module")
def truth():
    world = open_endless("worldmodel/Push-v0", 64, {})
    try:
        yield record_truth(world, [34, 47, 53, 54], STEPS)
    finally:
        world.close()


@pytest.fixture(scope="module")
def readings(truth):
    return truth_readings(truth.real.state, len(COLOURS))


def _trace(truth, frames, seen):
    return replace(trace_of(frames, truth.real.frames[:, 1:], None, HORIZONS), readings=seen)


def _frozen(truth, readings):
    frames = np.repeat(truth.real.frames[:, :1], STEPS, axis=1)
    return _trace(truth, frames, readings[:, :1].repeated(STEPS))


def _scores(truth, readings, frames, seen):
    figures = score(_trace(truth, frames, seen), _frozen(truth, readings), readings, COUNTING)
    return {name: figure.value for name, figure in figures.items()}


def _by_colour(frames, readings):
    return read_by_colour(frames, readings[:, 1:].shape)


def test_truth_against_truth_is_perfect(truth, readings):
    frames = truth.real.frames[:, 1:]
    figures = _scores(truth, readings, frames, readings[:, 1:])
    for h in HORIZONS:
        assert figures[f"psnr_{h}"] == PSNR_CEILING_DB
        assert figures[f"ssim_{h}"] == pytest.approx(1, abs=1e-4)
        assert figures[f"permanence_{h}"] == 1
        assert figures[f"pusher_error_m_{h}"] == 0
    assert figures["object_error_m_16"] == 0
    assert figures["object_error_over_frozen_16"] == 0
    assert figures["diverged_share"] == 0
    assert figures["divergence_horizon_steps"] == STEPS
    assert figures["psnr_over_frozen_min"] > 10
    twin = truth.twin.frames[:, 1:]
    assert physics_iq(frames, frames, twin, truth.real.frames[:, 0]) == pytest.approx(100)


def test_twins_are_nearly_perfect(truth, readings):
    seen = truth_readings(truth.twin.state, len(COLOURS))[:, 1:]
    figures = _scores(truth, readings, truth.twin.frames[:, 1:], seen)
    assert 0 < figures["pusher_error_m_16"] < 0.002
    assert figures["object_error_over_frozen_16"] < 0.2
    assert figures[f"permanence_{STEPS}"] == 1
    assert figures["psnr_16"] > 30
    assert figures["psnr_over_frozen_min"] > 3


def test_a_frozen_video_scores_as_the_baseline_it_is(truth, readings):
    frozen = _frozen(truth, readings)
    frames = np.repeat(truth.real.frames[:, :1], STEPS, axis=1)
    figures = _scores(truth, readings, frames, frozen.readings)
    assert figures["psnr_over_frozen_min"] == 0
    assert figures["object_error_over_frozen_16"] == 1
    assert figures["pusher_error_m_16"] > 0.03
    assert figures["divergence_horizon_steps"] < STEPS / 2
    twin, first = truth.twin.frames[:, 1:], truth.real.frames[:, 0]
    assert physics_iq(frames, truth.real.frames[:, 1:], twin, first).mean() < 20


def test_shuffled_actions_fall_behind(truth, readings):
    world = open_endless("worldmodel/Push-v0", 64, {})
    frames, states = [], []
    for seed, actions in zip(truth.seeds, np.roll(truth.actions, 1, axis=0), strict=True):
        world.reset(seed=seed)
        steps = [world.step(action) for action in actions]
        frames.append([step[0] for step in steps])
        states.append([step[4]["state"] for step in steps])
    world.close()
    named = {
        name: np.array([[state[name] for state in episode] for episode in states])
        for name in states[0][0]
    }
    figures = _scores(truth, readings, np.array(frames), truth_readings(named, len(COLOURS)))
    assert figures["pusher_error_m_16"] > 0.05
    assert figures["object_error_over_frozen_16"] > 0.5
    assert figures["psnr_16"] < 25
    assert figures["divergence_horizon_steps"] < STEPS / 2


def test_a_vanished_object_lowers_permanence_and_has_no_position(truth, readings):
    future = readings[:, 1:]
    frames = truth.real.frames[:, 1:].copy()
    whole = _scores(truth, readings, frames, _by_colour(frames, readings))
    gone = np.array([np.flatnonzero(present)[0] for present in readings.present[:, 0]])
    table = np.round(np.array(TABLE_RGB) * 255 * 0.97).astype(np.uint8)
    for episode, colour in enumerate(gone):
        for step in range(STEPS):
            x, y = future.position_m[episode, step, colour]
            column, row = (round(32 * (1 + v / 0.2138)) for v in (x, -y))
            frames[episode, step, max(0, row - 8) : row + 8, max(0, column - 8) : column + 8] = (
                table
            )
    seen = _by_colour(frames, readings)
    figures = _scores(truth, readings, frames, seen)
    assert whole[f"permanence_{STEPS}"] > 0.97
    assert figures[f"permanence_{STEPS}"] < 0.75
    errors = object_errors_m(seen, future)
    assert np.isnan(errors[np.arange(4), :, gone][:, :8]).mean() > 0.9


def test_time_reversal_is_caught(truth, readings):
    frames = truth.real.frames[:, :0:-1]
    seen = readings[:, :0:-1]
    figures = _scores(truth, readings, frames, seen)
    assert figures["pusher_error_m_1"] > 0.05
    assert figures["psnr_1"] < 25
    assert figures["psnr_over_frozen_1"] < 0
    twin, first = truth.twin.frames[:, 1:], truth.real.frames[:, 0]
    assert physics_iq(frames, truth.real.frames[:, 1:], twin, first).mean() < 80


def _two_objects(steps=5):
    """One episode with objects of colours 0 and 2 of 3, and a pusher at the middle."""
    present = np.tile([True, False, True], (1, steps, 1))
    position = np.zeros((1, steps, 3, 2), np.float32)
    return Readings(
        np.zeros((1, steps, 2), np.float32),
        position,
        present,
        np.tile([1, 0, 3], (1, steps, 1)),
        present.astype(np.int64),
    )


def test_permanence_is_one_when_all_objects_are_there():
    right, due = permanence_counts(_two_objects(), _two_objects())
    assert (right == due).all()
    assert (due == 2).all()


def test_an_object_of_the_wrong_shape_is_not_there():
    truth = _two_objects()
    right, due = permanence_counts(replace(truth, shape=truth.shape + 1), truth)
    assert (right == 0).all()
    assert (due == 2).all()


def test_an_object_too_many_counts_against_permanence():
    truth = _two_objects()
    everything = np.ones_like(truth.present)
    right, due = permanence_counts(
        replace(truth, present=everything, copies=everything.astype(np.int64)), truth
    )
    assert (right == 2).all()
    assert (due == 3).all()


def test_a_copy_of_an_object_counts_against_permanence():
    truth = _two_objects()
    right, due = permanence_counts(replace(truth, copies=truth.copies * 2), truth)
    assert (right == 2).all()
    assert (due == 4).all()


def test_an_object_has_moved_once_it_is_a_centimetre_away():
    truth = _two_objects(steps=3)
    truth.position_m[0, 1, 0] = (0.009, 0)
    truth.position_m[0, 2, 0] = (0.011, 0)
    moved = moved_objects(truth[:, 0], truth[:, 1:])
    assert moved[0, :, 0].tolist() == [False, True]
    assert not moved[0, :, 1:].any()


def test_one_misread_frame_is_no_divergence():
    truth, made = _two_objects(steps=9), _two_objects(steps=9)
    made.pusher_m[0, 2] = 0.1
    assert divergence_steps(made, truth).tolist() == [10]
    made.pusher_m[0, 5:] = 0.1
    assert divergence_steps(made, truth).tolist() == [6]


def test_a_vanished_object_is_a_divergence():
    truth = _two_objects(steps=9)
    gone = truth.present.copy()
    gone[0, 4:, 2] = False
    assert divergence_steps(replace(truth, present=gone), truth).tolist() == [5]


def test_the_error_at_a_horizon_is_taken_at_that_step_exactly():
    truth, made = _two_objects(steps=6), _two_objects(steps=5)
    made.pusher_m[0, :] = np.arange(1, 6)[:, None] * [[0.1, 0.0]]
    flat = Trace(np.arange(1.0, 6.0)[None], {3: np.zeros(1)}, made)
    still = Trace(np.zeros((1, 5)), {3: np.zeros(1)}, _two_objects(steps=5))
    figures = score(flat, still, truth, Counting((3,)))
    assert figures["pusher_error_m_3"].value == pytest.approx(0.3)
    assert figures["pusher_error_mean_m_3"].value == pytest.approx(0.2)
    assert figures["psnr_3"].value == 3
    assert figures["psnr_over_frozen_min"].value == 3


def test_the_strict_error_counts_a_missing_moved_object_as_left_behind():
    truth, made = _two_objects(steps=2), _two_objects(steps=1)
    truth.position_m[0, 1] = (0.05, 0)
    made.position_m[0, 0] = (0.04, 0)
    made.present[0, 0, 2] = False
    zero = Trace(np.zeros((1, 1)), {1: np.zeros(1)}, made)
    still = replace(zero, readings=truth[:, :1])
    figures = score(zero, still, truth, Counting((1,)))
    assert figures["object_error_m_1"].value == pytest.approx(0.01)
    assert figures["object_error_over_frozen_1"].value == pytest.approx(0.2)
    assert figures["object_error_strict_m_1"].value == pytest.approx(0.03)
    assert figures["moved_missing_1"].value == pytest.approx(0.5)
