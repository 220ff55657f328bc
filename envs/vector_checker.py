"""A checker for `gymnasium.vector.VectorEnv`s, as `check_env` is one for single environments.

It drives the environment with random actions and compares what comes back with Gymnasium's
documented behaviour, autoreset included.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import logger
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.vector_comparison import as_numpy, lane, same
from multimodal.errors import WorldModelError

__all__ = ["VectorEnvError", "VectorEnvReport", "check_vector_env"]

VectorEnv = gym.vector.VectorEnv[Any, Any, Any]
Flags = NDArray[np.bool_]


class VectorEnvError(WorldModelError, AssertionError):
    """A vector environment does not do what Gymnasium says it does."""


@dataclass(frozen=True)
class VectorEnvReport:
    """What was checked.

    Attributes:
        num_envs: lanes.
        autoreset_mode: the mode the environment declares.
        steps: taken while waiting for episodes to end.
        episodes: that ended; 0 means that autoreset could not be checked.
    """

    num_envs: int
    autoreset_mode: AutoresetMode
    steps: int
    episodes: int


@dataclass(frozen=True)
class _Step:
    """One step's results, in NumPy and copied."""

    observations: Any
    rewards: NDArray[Any]
    terminations: Flags
    truncations: Flags
    infos: dict[str, Any]

    @property
    def ended(self) -> Flags:
        """Lanes whose episode ended."""
        return self.terminations | self.truncations


def check_vector_env(
    env: VectorEnv, *, seed: int = 123, max_steps: int = 1000, episodes: int = 4
) -> VectorEnvReport:
    """Check that a vector environment follows Gymnasium's interface; leaves it open.

    Args:
        env: the environment; NumPy arrays and torch tensors will do.
        seed: of resets and of the random actions.
        max_steps: that are taken at most until `episodes` have ended.
        episodes: how many ends to look at.

    Returns:
        What was checked. When no episode ended, autoreset was not checked, and a warning says so.

    Raises:
        VectorEnvError: the first thing found wrong, and what was expected.
    """
    _check_attributes(env)
    _check_signatures(env)
    _check_reset(env, seed)
    _check_determinism(env, seed)
    _check_independent_data(env, seed)
    _check_wrong_shape(env, seed)
    return _check_episodes(env, seed, max_steps, episodes)


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise VectorEnvError(message)


def _check_attributes(env: VectorEnv) -> None:
    _expect(isinstance(env, gym.vector.VectorEnv), f"Expected a VectorEnv, got {type(env)}.")
    count = getattr(env, "num_envs", None)
    _expect(isinstance(count, int) and count > 0, f"num_envs must be a count, got {count!r}.")
    for kind in ("observation", "action"):
        single = _space(env, f"single_{kind}_space")
        batched = _space(env, f"{kind}_space")
        wanted = batch_space(single, env.num_envs)
        _expect(
            batched == wanted or (batched.shape, batched.dtype) == (wanted.shape, wanted.dtype),
            f"{kind}_space must be {env.num_envs} times single_{kind}_space, that is {wanted}; "
            f"got {batched}.",
        )
    mode = env.metadata.get("autoreset_mode")
    _expect(
        isinstance(mode, AutoresetMode),
        f'metadata["autoreset_mode"] must be an AutoresetMode, got {mode!r}.',
    )


def _space(env: VectorEnv, name: str) -> gym.Space[Any]:
    space = getattr(env, name, None)
    if not isinstance(space, gym.Space):
        raise VectorEnvError(f"{name} must be a gymnasium.Space, got {space!r}.")
    return space


def _check_signatures(env: VectorEnv) -> None:
    parameters = inspect.signature(env.reset).parameters
    for name in ("seed", "options"):
        _expect(name in parameters, f"reset() must take {name}=.")
        _expect(parameters[name].default is None, f"The default of reset({name}=) must be None.")


def _reset(env: VectorEnv, **arguments: Any) -> tuple[Any, dict[str, Any]]:
    result = env.reset(**arguments)
    _expect(
        isinstance(result, tuple) and len(result) == 2,
        f"reset() must return (observations, infos), got {type(result).__name__}.",
    )
    observations, infos = as_numpy(result[0]), result[1]
    _check_observations(env, observations, "reset")
    _check_infos(infos, env.num_envs, "reset")
    return copy.deepcopy(observations), copy.deepcopy(as_numpy(infos))


def _step(env: VectorEnv, actions: Any) -> _Step:
    result = env.step(actions)
    _expect(
        isinstance(result, tuple) and len(result) == 5,
        "step() must return (observations, rewards, terminations, truncations, infos).",
    )
    observations, rewards, terminations, truncations = (as_numpy(part) for part in result[:4])
    _check_observations(env, observations, "step")
    lanes = (env.num_envs,)
    _expect(
        getattr(rewards, "shape", None) == lanes and np.issubdtype(rewards.dtype, np.floating),
        f"Rewards must be floats of shape {lanes}, got {_kind(rewards)}.",
    )
    _expect(bool(np.isfinite(rewards).all()), f"Rewards must be finite, got {rewards}.")
    for name, flags in (("Terminations", terminations), ("Truncations", truncations)):
        _expect(
            getattr(flags, "shape", None) == lanes and flags.dtype == np.bool_,
            f"{name} must be bool of shape {lanes}, got {_kind(flags)}.",
        )
    _check_infos(result[4], env.num_envs, "step")
    parts = (observations, rewards, terminations, truncations, as_numpy(result[4]))
    return _Step(*copy.deepcopy(parts))


def _kind(value: Any) -> str:
    return f"{getattr(value, 'dtype', type(value).__name__)} {getattr(value, 'shape', '')}"


def _check_observations(env: VectorEnv, observations: Any, source: str) -> None:
    _expect(
        env.observation_space.contains(observations),
        f"Observations of {source}() must lie in observation_space {env.observation_space}, "
        f"got {_kind(observations)}.",
    )


def _check_infos(infos: Any, lanes: int, source: str) -> None:
    """Every entry has one value for each lane, and a mask that says which lanes it is of."""
    _expect(isinstance(infos, dict), f"The infos of {source}() must be a dict: {type(infos)}.")
    for name, value in infos.items():
        if name.startswith("_"):
            continue
        mask = as_numpy(infos.get(f"_{name}"))
        _expect(
            isinstance(mask, np.ndarray) and mask.shape == (lanes,) and mask.dtype == np.bool_,
            f"The info {name!r} of {source}() needs a mask '_{name}', bool ({lanes},), that says "
            f"which lanes it is of; got {_kind(mask)}.",
        )
        if isinstance(value, dict):
            _check_infos(value, lanes, source)
            continue
        count = len(value) if hasattr(value, "__len__") else None
        _expect(
            count == lanes,
            f"The info {name!r} of {source}() must have {lanes} values, one a lane; got {count}.",
        )


def _check_reset(env: VectorEnv, seed: int) -> None:
    _reset(env, options={})
    starts = [_reset(env, seed=seed + 10 * env.num_envs * turn)[0] for turn in range(8)]
    uniform = env.num_envs > 1 and all(
        same(lane(start, 0), lane(start, index))
        for start in starts
        for index in range(1, env.num_envs)
    )
    _expect(
        not uniform or all(same(starts[0], other) for other in starts[1:]),
        "All lanes start alike though starts depend on the seed: seed lane i with seed + i.",
    )


def _check_determinism(env: VectorEnv, seed: int, steps: int = 8) -> None:
    runs = []
    for _ in range(2):
        env.action_space.seed(seed)
        run: list[Any] = [_reset(env, seed=seed)]
        for _ in range(steps):
            step = _step(env, env.action_space.sample())
            run.append(vars(step))
            if step.ended.any():
                break
        runs.append((run, _reset(env)))
    (one, after_one), (two, after_two) = runs
    _expect(same(one[0], two[0]), f"reset(seed={seed}) must give the same start each time.")
    for index, (a, b) in enumerate(zip(one[1:], two[1:], strict=False)):
        _expect(
            same(a, b), f"Step {index + 1} after reset(seed={seed}) differs under the same actions."
        )
    _expect(
        same(after_one, after_two),
        "reset() without a seed must go on from the last seed, and gave another start.",
    )


def _check_independent_data(env: VectorEnv, seed: int) -> None:
    env.action_space.seed(seed)
    observations, _ = env.reset(seed=seed)
    kept = copy.deepcopy(as_numpy(observations))
    later, _, terminations, truncations, _ = env.step(env.action_space.sample())
    _expect(
        same(as_numpy(observations), kept),
        "The observations of reset() changed when step() was called: return a copy.",
    )
    if (as_numpy(terminations) | as_numpy(truncations)).any():
        return
    kept = copy.deepcopy(as_numpy(later))
    env.step(env.action_space.sample())
    _expect(
        same(as_numpy(later), kept),
        "The observations of a step changed at the next step: return a copy.",
    )


def _check_wrong_shape(env: VectorEnv, seed: int) -> None:
    """An action too many must be an error, not be dropped or broadcast."""
    _reset(env, seed=seed)
    wide = batch_space(env.single_action_space, env.num_envs + 1)
    wide.seed(seed)
    try:
        env.step(wide.sample())
    # Any error will do: which one is the environment's own choice.
    except Exception:  # noqa: BLE001
        return
    raise VectorEnvError(
        f"step() took actions for {env.num_envs + 1} lanes and has {env.num_envs}: raise an error."
    )


def _check_episodes(env: VectorEnv, seed: int, max_steps: int, episodes: int) -> VectorEnvReport:
    mode: AutoresetMode = env.metadata["autoreset_mode"]
    env.action_space.seed(seed)
    _reset(env, seed=seed)
    before: Flags = np.zeros(env.num_envs, np.bool_)
    ends, taken = 0, 0
    while ends < episodes and taken < max_steps:
        step = _step(env, env.action_space.sample())
        taken += 1
        ends += int(step.ended.sum())
        if mode is AutoresetMode.NEXT_STEP:
            _check_next_step(step, before)
        elif mode is AutoresetMode.SAME_STEP:
            _check_same_step(env, step)
        elif step.ended.any():
            _check_disabled(env, step)
        before = step.ended
    if not ends:
        logger.warn(
            f"No episode ended within {max_steps} steps of random actions: autoreset was not "
            "checked. Make an environment with shorter episodes, or raise max_steps."
        )
    return VectorEnvReport(env.num_envs, mode, taken, ends)


def _check_next_step(step: _Step, reset_now: Flags) -> None:
    """The step after an end is the reset: nothing is earned and nothing ends in it."""
    _expect("final_obs" not in step.infos, "final_obs belongs to SAME_STEP, not to NEXT_STEP.")
    _expect(
        not step.rewards[reset_now].any(),
        f"NEXT_STEP: the step that resets a lane must have reward 0, got {step.rewards} where "
        f"lanes {np.flatnonzero(reset_now).tolist()} were reset.",
    )
    _expect(
        not step.ended[reset_now].any(),
        "NEXT_STEP: the step that resets a lane must neither terminate nor truncate it.",
    )


def _check_same_step(env: VectorEnv, step: _Step) -> None:
    """The last observation travels in the infos, and the one returned begins the next episode."""
    infos = step.infos
    for name in ("final_obs", "final_info"):
        mask = infos.get(f"_{name}", np.zeros(env.num_envs, np.bool_))
        _expect(
            same(mask, step.ended),
            f"SAME_STEP: '_{name}' must be true in the lanes that ended, {step.ended}; got {mask}.",
        )
    for index in np.flatnonzero(step.ended):
        final = lane(infos["final_obs"], int(index))
        _expect(
            env.single_observation_space.contains(final),
            f"SAME_STEP: final_obs[{index}] must lie in single_observation_space, "
            f"got {_kind(final)}.",
        )
        _expect(
            not same(final, lane(step.observations, int(index))),
            f"SAME_STEP: lane {index} ended and its observation is still the last one: reset it "
            "in the same step.",
        )


def _check_disabled(env: VectorEnv, step: _Step) -> None:
    """A partial reset begins the lanes in the mask and leaves the others alone."""
    observations, _ = _reset(env, options={"reset_mask": step.ended.copy()})
    for index in range(env.num_envs):
        stayed = same(lane(observations, index), lane(step.observations, index))
        if step.ended[index]:
            _expect(not stayed, f"DISABLED: reset_mask did not reset lane {index}.")
        else:
            _expect(stayed, f"DISABLED: resetting other lanes changed lane {index}.")
