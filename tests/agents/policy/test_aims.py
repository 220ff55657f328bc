"""Goals as the policy takes them, and the task's rewards on what is seen."""

import numpy as np
import pytest
import torch

from agents.policy.aims import AIM_DIM, aims_of, image_aims, outcome_of, place_aims, target_of
from agents.policy.sight import Sight
from agents.policy.sight_objective import true_sight
from envs.push import PushWorld
from envs.push_goals import GOAL_DIM
from multimodal.errors import StateError


def sight_of(world: PushWorld) -> Sight:
    return true_sight({name: value[None] for name, value in world.named_state().items()})


def test_a_sight_returns_from_its_vector() -> None:
    world = PushWorld(objects=4)
    world.reset(seed=3)
    sight = sight_of(world)
    again = Sight.from_vector(sight.vector())
    assert torch.equal(again.objects_m, sight.objects_m)
    assert torch.equal(again.looks, sight.looks)
    world.close()


def test_rewards_on_true_positions_are_those_of_mujoco() -> None:
    world = PushWorld(objects=(1, 4))
    rng = np.random.default_rng(0)
    for seed in range(12):
        _, info = world.reset(seed=seed)
        for _ in range(5):
            _, reward, _, _, info = world.step(rng.uniform(-1, 1, 2).astype(np.float32))
        aims = aims_of(torch.from_numpy(info["goal"])[None])
        seen_reward, success = outcome_of(sight_of(world), aims)
        assert float(seen_reward[0]) == pytest.approx(reward, abs=1e-5)
        assert bool(success[0]) == info["success"]
    world.close()


def test_an_object_that_is_not_seen_gives_no_success() -> None:
    sight = Sight(*(torch.zeros(1, *shape) for shape in ((2,), (6, 2), (6,), (6, 2), (6,), (6, 8))))
    aims = place_aims(torch.tensor([0]), torch.zeros(1, 2))
    assert not bool(outcome_of(sight, aims)[1][0])


def test_the_target_of_a_wall_lies_straight_ahead_of_the_object() -> None:
    sight = Sight(*(torch.zeros(1, *shape) for shape in ((2,), (6, 2), (6,), (6, 2), (6,), (6, 8))))
    sight.objects_m[0, 2] = torch.tensor([0.05, -0.02])
    goal = torch.zeros(1, GOAL_DIM)
    goal[0, 2] = 1
    goal[0, 12 + 2] = 1  # the top wall
    object_m, place_m = target_of(sight, aims_of(goal))
    assert object_m[0].tolist() == pytest.approx([0.05, -0.02])
    assert place_m[0].tolist() == pytest.approx([0.05, 0.17])


def test_a_goal_that_names_no_object_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(StateError, match=r"names no object.*info\['goal'\]"):
        aims_of(torch.zeros(1, GOAL_DIM))
    with pytest.raises(StateError, match=f"must have shape .*{AIM_DIM}"):
        aims_of(torch.zeros(1, 5))


def test_a_goal_image_asks_for_the_object_that_moved() -> None:
    world = PushWorld(objects=3)
    world.reset(seed=1)
    now = sight_of(world)
    colour = int(now.object_present[0].argmax())
    wanted = Sight.from_vector(now.vector().clone())
    wanted.objects_m[0, colour] += 0.06
    aims = image_aims(now, wanted)
    assert int(aims[0, :6].argmax()) == colour
    assert torch.allclose(target_of(now, aims)[1], wanted.objects_m[:, colour])
    with pytest.raises(StateError, match="nothing to do"):
        image_aims(now, now)
    world.close()
