"""The policy that ships acts, by name alone, and gets an object to its place."""

import torch

from agents.policy import Policy
from agents.policy.aims import outcome_of
from agents.policy.sight import Sight
from agents.policy.trials import unsolved_starts
from agents.policy.whereabouts import gaps_of, ways_of
from agents.policy.worlds import lanes_of
from envs.push import PushWorld
from worldmodel.pipeline import WorldModelPipeline


def test_the_shipped_policy_reaches_most_of_ten_goals() -> None:
    policy = Policy.from_pretrained()
    world = PushWorld(max_steps=40)
    reached = 0
    for seed in range(10):
        frame, info = world.reset(seed=200_000_000 + seed)
        goals = policy.goals_of([info["instruction"]])
        done = False
        while not done:
            frame, _, done, truncated, _ = world.step(policy.act(frame[None], goals)[0].numpy())
            reached += done
            if truncated:
                break
    world.close()
    assert reached >= 6


def test_its_eyes_read_the_pusher_within_a_centimetre() -> None:
    policy = Policy.from_pretrained()
    world = PushWorld()
    frame, info = world.reset(seed=3)
    sight = Sight.from_vector(policy.see(frame[None]))
    truth = torch.from_numpy(info["state"]["pusher_position_m"])
    assert float((sight.pusher_m[0] - truth).norm()) < 0.01
    assert not bool(outcome_of(sight, policy.view.aims(policy.goals_of([info["instruction"]])))[1])
    world.close()


def test_the_shipped_world_model_follows_where_it_goes() -> None:
    pipeline = WorldModelPipeline.from_pretrained("push")
    policy = Policy.from_pretrained(trunk=pipeline)
    world = PushWorld(max_steps=0)
    ways = ways_of(policy, world, unsolved_starts(world, range(600_000_000, 600_000_004)), 25)
    world.close()
    moved = [way for way in ways if way.success]
    assert moved
    gaps = gaps_of(lanes_of(pipeline, policy), moved, 8)
    assert gaps.total_m.sum() / gaps.steps.sum() < 0.03
