"""Truth and twins: held-out seeds, exact repetition, and starts a hair apart."""

import numpy as np
import pytest

from envs.gap.rollouts import WRONG_ACTIONS, check_pipeline, learned_frames, wrong_actions
from envs.gap.truth import held_out_seeds, open_endless, record_truth
from envs.recording import split_of
from multimodal.errors import ActionError, ConfigError, FrameError


@pytest.fixture(scope="module")
def world():
    world = open_endless("worldmodel/Push-v0", 64, {})
    yield world
    world.close()


@pytest.fixture(scope="module")
def truth(world):
    return record_truth(world, held_out_seeds(3), 12, context=3)


def test_episodes_come_from_the_test_split_only():
    assert {split_of(seed) for seed in held_out_seeds(20)} == {"test"}


def test_step_zero_is_the_last_frame_given(truth):
    assert truth.past.shape[:2] == (3, 3)
    assert truth.past_actions.shape[:2] == (3, 2)
    assert truth.real.frames.shape[:2] == (3, 13)
    assert truth.actions.shape[:2] == (3, 12)
    np.testing.assert_array_equal(truth.past[:, -1], truth.real.frames[:, 0])


def test_the_actions_lead_to_the_frames(world, truth):
    frame, _ = world.reset(seed=truth.seeds[1])
    for action in (*truth.past_actions[1], *truth.actions[1]):
        frame = world.step(action)[0]
    np.testing.assert_array_equal(frame, truth.real.frames[1, -1])


def test_a_twin_starts_a_hair_apart_and_is_not_the_truth(truth):
    real, twin = (r.state["pusher_position_m"] for r in (truth.real, truth.twin))
    start = np.abs(real[:, 0] - twin[:, 0])
    assert (start > 0).all()
    assert start.max() < 5e-4


def test_twins_without_perturbation_are_equal(world):
    same = record_truth(world, held_out_seeds(1), 15, perturbation=0.0)
    np.testing.assert_array_equal(same.real.frames, same.twin.frames)


def test_a_world_goes_on_past_its_usual_end(world):
    _, _ = world.reset(seed=0)
    ends = [world.step(np.zeros(2, np.float32))[2:4] for _ in range(205)]
    assert not np.any(ends)


def test_a_horizon_of_nothing_is_refused(world):
    with pytest.raises(ConfigError, match="at least 1"):
        record_truth(world, [0], 0)


def test_shuffled_actions_are_those_of_another_episode(world, truth):
    shuffled = wrong_actions("shuffled", truth.actions, world.action_space, 0)
    np.testing.assert_array_equal(shuffled[1], truth.actions[0])
    with pytest.raises(ActionError, match="at least two"):
        wrong_actions("shuffled", truth.actions[:1], world.action_space, 0)


@pytest.mark.parametrize("kind", WRONG_ACTIONS)
def test_wrong_actions_stay_inside_the_action_space(kind, world, truth):
    actions = wrong_actions(kind, truth.actions, world.action_space, 0)
    assert actions.shape == truth.actions.shape
    assert actions.dtype == np.float32
    assert world.action_space.contains(actions[0, 0])


def test_a_learned_rollout_does_not_depend_on_how_it_is_cut_up(tiny_pipeline, truth):
    made = []
    whole = learned_frames(tiny_pipeline, truth, truth.actions, advance=made.append)
    pieces = learned_frames(tiny_pipeline, truth, truth.actions, chunk=5)
    assert whole.shape == (3, 12, 64, 64, 3)
    assert sum(made) == 36
    np.testing.assert_array_equal(whole, pieces)


def test_a_model_of_another_world_is_refused(tiny_pipeline):
    other = open_endless("worldmodel/Push-v0", 32, {})
    small = record_truth(other, held_out_seeds(1), 1)
    other.close()
    with pytest.raises(FrameError, match=r"world\.size_px"):
        check_pipeline(tiny_pipeline, small)
