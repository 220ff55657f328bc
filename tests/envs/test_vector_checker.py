"""The checker passes Gymnasium's own vector environments and catches planted faults."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space

from envs.vector_checker import VectorEnvError, check_vector_env
from envs.vector_comparison import lane, same

LANES = 3


def _cartpoles(lanes: int = LANES, **options) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: gym.make("CartPole-v1")] * lanes, **options)


class Sound(SyncVectorEnv):
    """CartPoles, from which each fault below departs in one point."""

    def __init__(self, mode: AutoresetMode = AutoresetMode.NEXT_STEP) -> None:
        super().__init__([lambda: gym.make("CartPole-v1")] * LANES, autoreset_mode=mode)


class NoMode(Sound):
    def __init__(self) -> None:
        super().__init__()
        del self.metadata["autoreset_mode"]


class UnbatchedSpace(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = self.single_observation_space


class WrongActionSpace(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.action_space = batch_space(self.single_action_space, LANES + 1)


class NoOptions(Sound):
    def reset(self, *, seed=None):
        return super().reset(seed=seed)


class FixedSeed(Sound):
    def reset(self, *, seed=0, options=None):
        return super().reset(seed=seed, options=options)


class ResetReturnsNoInfo(Sound):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed, options=options)[0]


class SeedIgnored(Sound):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=None, options=options)


class LanesAlike(Sound):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=None if seed is None else [seed] * LANES, options=options)


class ReseededEachTime(Sound):
    turns = 0

    def reset(self, *, seed=None, options=None):
        if seed is None:
            self.turns += 1
            seed = 1000 * self.turns
        return super().reset(seed=seed, options=options)


class NoisySteps(Sound):
    def step(self, actions):
        observations, *rest = super().step(actions)
        return observations + np.float32(1e-3 * np.random.rand()), *rest


class DoubleObservations(Sound):
    def step(self, actions):
        observations, *rest = super().step(actions)
        return observations.astype(np.float64), *rest


class IntegerRewards(Sound):
    def step(self, actions):
        observations, rewards, *rest = super().step(actions)
        return observations, rewards.astype(np.int64), *rest


class NanRewards(Sound):
    def step(self, actions):
        observations, rewards, *rest = super().step(actions)
        return observations, rewards * np.nan, *rest


class OneRewardForAll(Sound):
    def step(self, actions):
        observations, rewards, *rest = super().step(actions)
        return observations, rewards.sum(), *rest


class IntegerFlags(Sound):
    def step(self, actions):
        observations, rewards, terminations, *rest = super().step(actions)
        return observations, rewards, terminations.astype(np.int64), *rest


class FourResults(Sound):
    def step(self, actions):
        observations, rewards, terminations, truncations, infos = super().step(actions)
        return observations, rewards, terminations | truncations, infos


class InfoWithoutMask(Sound):
    def step(self, actions):
        *rest, infos = super().step(actions)
        return *rest, {**infos, "angle": np.zeros(LANES)}


class InfoOfTheWrongLength(Sound):
    def step(self, actions):
        *rest, infos = super().step(actions)
        mask = np.ones(LANES, np.bool_)
        return *rest, {**infos, "angle": np.zeros(LANES + 1), "_angle": mask}


class BufferReused(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.copy = False


class AnyNumberOfActions(Sound):
    def step(self, actions):
        return super().step(actions[:LANES])


class RewardForTheReset(Sound):
    def step(self, actions):
        observations, _, *rest = super().step(actions)
        return observations, np.ones(LANES), *rest


class EndsTwice(Sound):
    ended = np.zeros(LANES, np.bool_)

    def step(self, actions):
        observations, rewards, terminations, *rest = super().step(actions)
        again, self.ended = terminations | self.ended, terminations
        return observations, rewards, again, *rest


class SaysNextStepAndResetsInTheSame(Sound):
    def __init__(self) -> None:
        super().__init__(AutoresetMode.SAME_STEP)
        self.metadata["autoreset_mode"] = AutoresetMode.NEXT_STEP


class SaysSameStepAndResetsInTheNext(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.metadata["autoreset_mode"] = AutoresetMode.SAME_STEP


class FinalObservationMissing(Sound):
    def __init__(self) -> None:
        super().__init__(AutoresetMode.SAME_STEP)

    def step(self, actions):
        *rest, infos = super().step(actions)
        return *rest, {k: v for k, v in infos.items() if not k.endswith("final_obs")}


class FinalObservationReturned(Sound):
    def __init__(self) -> None:
        super().__init__(AutoresetMode.SAME_STEP)

    def step(self, actions):
        observations, *rest, infos = super().step(actions)
        for index in np.flatnonzero(infos.get("_final_obs", [])):
            observations[index] = infos["final_obs"][index]
        return observations, *rest, infos


class MaskResetsAll(Sound):
    def __init__(self) -> None:
        super().__init__(AutoresetMode.DISABLED)

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)


FAULTS = {
    NoMode: "autoreset_mode",
    UnbatchedSpace: "observation_space must be 3 times",
    WrongActionSpace: "action_space must be 3 times",
    NoOptions: "must take options",
    FixedSeed: "default of reset",
    ResetReturnsNoInfo: "must return",
    SeedIgnored: "same start",
    LanesAlike: "start alike",
    ReseededEachTime: "go on from the last seed",
    NoisySteps: "differs under the same actions",
    DoubleObservations: "must lie in observation_space",
    IntegerRewards: "Rewards must be floats",
    NanRewards: "finite",
    OneRewardForAll: "Rewards must be floats",
    IntegerFlags: "Terminations must be bool",
    FourResults: "step.* must return",
    InfoWithoutMask: "needs a mask '_angle'",
    InfoOfTheWrongLength: "one a lane; got 4",
    BufferReused: "return a copy",
    AnyNumberOfActions: "took actions for 4 lanes",
    RewardForTheReset: "must have reward 0",
    EndsTwice: "neither terminate nor truncate",
    SaysNextStepAndResetsInTheSame: "final_obs belongs to SAME_STEP",
    SaysSameStepAndResetsInTheNext: "_final_obs",
    FinalObservationMissing: "_final_obs",
    FinalObservationReturned: "reset it in the same step",
    MaskResetsAll: "changed lane",
}


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.filterwarnings("error")
def test_gymnasiums_own_environments_pass_in_every_mode(mode):
    report = check_vector_env(_cartpoles(autoreset_mode=mode))
    assert report.episodes >= 4
    assert (report.num_envs, report.autoreset_mode) == (LANES, mode)


def test_a_single_lane_passes():
    assert check_vector_env(_cartpoles(1)).num_envs == 1


def test_dictionaries_and_continuous_actions_pass():
    def made() -> gym.Env:
        env = gym.wrappers.FilterObservation(_with_dictionary(), ["angle"])
        return gym.wrappers.TimeLimit(env, 12)

    assert check_vector_env(SyncVectorEnv([made] * 2)).episodes >= 4


def _with_dictionary() -> gym.Env:
    space = gym.spaces.Dict({"angle": Box(-np.inf, np.inf, (3,), np.float32)})
    return gym.wrappers.TransformObservation(
        gym.make("Pendulum-v1"), lambda observation: {"angle": observation}, space
    )


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found_and_named(fault):
    with pytest.raises(VectorEnvError, match=FAULTS[fault]):
        check_vector_env(fault())


def test_episodes_that_never_end_are_reported_with_a_warning():
    env = SyncVectorEnv([lambda: gym.make("Pendulum-v1", max_episode_steps=-1)] * 2)
    with pytest.warns(UserWarning, match="autoreset was not checked"):
        assert check_vector_env(env, max_steps=20).episodes == 0


def test_structures_are_compared_by_value_shape_and_type():
    one = {"a": np.array([1.0, np.nan]), "b": (np.array([1]), np.array([2]))}
    assert same(one, {"b": (np.array([1]), np.array([2])), "a": np.array([1.0, np.nan])})
    assert not same(one, {**one, "a": np.array([1.0, 2.0])})
    assert not same(np.zeros(2, np.float32), np.zeros(2))
    assert same(lane(one, 0), {"a": np.float64(1.0), "b": (np.int64(1), np.int64(2))})
