"""The baselines: one that knows everything, one that knows nothing."""

from collections.abc import Callable

import numpy as np

from agents import Act, Agent, Observation, RandomAgent, Refuse, ScriptedPusher, Stop, run_episode
from envs.push import PushWorld


def successes(make_agent: Callable[[PushWorld], Agent], world: PushWorld, seeds: range) -> int:
    return sum(run_episode(world, make_agent(world), seed=seed).success for seed in seeds)


def test_the_script_solves_most_scenes_and_far_more_than_chance() -> None:
    world = PushWorld(objects=1, max_steps=120)
    seeds = range(12)
    scripted = successes(ScriptedPusher, world, seeds)
    chance = successes(lambda w: RandomAgent(w.action_space, 0), world, seeds)
    assert scripted >= 8
    assert chance <= 3


def test_the_script_refuses_a_world_that_hides_its_state() -> None:
    world = PushWorld()
    frame, _ = world.reset(seed=0)
    assert isinstance(ScriptedPusher(world).act(Observation(frame, "push it", 0)), Refuse)


def test_the_script_stops_when_the_goal_is_reached() -> None:
    world = PushWorld()
    frame, info = world.reset(seed=0)
    seen = Observation(frame, info["instruction"], 3, {"state": info["state"], "success": True})
    assert isinstance(ScriptedPusher(world).act(seen), Stop)


def test_an_episode_ends_with_the_decision_that_is_no_action() -> None:
    class StopsAtOnce:
        def act(self, observation: Observation) -> Stop:
            return Stop(observation.instruction)

    world = PushWorld()
    result = run_episode(world, StopsAtOnce(), seed=1)
    assert result.steps == 0
    assert result.last == Stop(world.goal.instruction())


def test_random_actions_repeat_with_their_seed() -> None:
    world = PushWorld()
    frame, info = world.reset(seed=0)
    seen = Observation(frame, info["instruction"], 0)
    first, second = (RandomAgent(world.action_space, 7).act(seen) for _ in range(2))
    assert isinstance(first, Act)
    assert isinstance(second, Act)
    assert np.array_equal(first.action, second.action)
