"""The behaviours that record: common contacts, actions inside the space, the same by seed."""

import gymnasium as gym
import numpy as np
import pytest

from envs.adapter import GymnasiumWorld
from envs.behaviours import MixedPushing, SmoothRandom, make_behaviour, push_action
from envs.push import PushWorld


def _episode(seed: int, steps: int = 120) -> tuple[np.ndarray, float, float]:
    """Actions, share of frames with contact, and how far the objects went in metres."""
    world = PushWorld(terminate_on_success=False)
    _, info = world.reset(seed=seed)
    behaviour = make_behaviour(world, np.random.default_rng(seed))
    start = info["state"]["object_position_m"][:3]
    actions, touched = [], 0
    for _ in range(steps):
        actions.append(behaviour.act(world))
        info = world.step(actions[-1])[4]
        touched += info["contact"]
    moved = np.linalg.norm(info["state"]["object_position_m"][:3] - start, axis=1).max()
    world.close()
    return np.array(actions), touched / steps, float(moved)


def test_contacts_are_common_and_objects_move():
    shares, moves = zip(*(_episode(seed)[1:] for seed in range(8)), strict=True)
    assert np.mean(shares) > 0.2
    assert np.median(moves) > 0.05


def test_the_same_seed_gives_the_same_actions():
    assert np.array_equal(_episode(3, 60)[0], _episode(3, 60)[0])


def test_actions_lie_inside_the_space():
    actions = _episode(1)[0]
    assert actions.dtype == np.float32
    assert np.abs(actions).max() <= 1


def test_the_walk_is_smooth_and_covers_the_space():
    low, high = np.array([-2, 0], np.float32), np.array([2, 1], np.float32)
    walk = SmoothRandom(low, high, np.random.default_rng(0))
    actions = np.array([walk.act(None) for _ in range(2000)])
    share = (actions - low) / (high - low)
    assert share.min() == 0
    assert share.max() == 1
    assert np.abs(share.mean(axis=0) - 0.5).max() < 0.1
    assert np.corrcoef(share[:-1, 0], share[1:, 0])[0, 1] > 0.7


def test_pushing_goes_behind_the_object_before_it_goes_through():
    object_m, place_m = np.zeros(2), np.array([0.1, 0.0])
    ahead = push_action(np.array([0.08, 0.0]), object_m, place_m)
    behind = push_action(np.array([-0.05, 0.0]), object_m, place_m)
    assert abs(ahead[1]) > 0.4, "it goes around"
    assert behind[0] > 0.9
    assert abs(behind[1]) < 0.1
    assert not push_action(np.array([-0.05, 0.0]), place_m, place_m).any()


@pytest.mark.parametrize(("world", "kind"), [("push", MixedPushing), ("reacher", SmoothRandom)])
def test_the_behaviour_suits_the_world(world, kind):
    made = PushWorld() if world == "push" else GymnasiumWorld(gym.make("Reacher-v5"))
    made.reset(seed=0)
    behaviour = make_behaviour(made, np.random.default_rng(0))
    assert isinstance(behaviour, kind)
    assert made.action_space.contains(behaviour.act(made))
    made.close()
