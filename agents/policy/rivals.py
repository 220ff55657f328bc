"""What training in the model has to stand beside: PPO and SAC of Stable-Baselines3, in MuJoCo.

Those of the true state are told the same features that our policy makes of what it reads, and learn
in a simulator that draws no picture for them; those of pixels see the frame and are told the goal.
Each is judged when it has taken as many steps as were recorded for the world model, and when it has
had as many minutes of one core's time as our training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from agents.policy.aims import aims_of
from agents.policy.features import FEATURES, features_of
from agents.policy.sight_objective import true_sight
from agents.policy.trials import Trial
from envs.mujoco_world import Frame, Info
from envs.push import PushWorld
from envs.push_goals import GOAL_DIM
from multimodal.errors import ConfigError, MissingExtraError
from worldmodel.intervals import ratio_interval

__all__ = ["RIVALS", "PixelPush", "StatePush", "require_rivals", "rival_figures", "successes_of"]

RIVALS = ("ppo", "sac", "ppo_pixels", "sac_pixels")
# PPO's length of a rollout; steps of SAC between two looks at the clock.
_ROLLOUT, _STEPS = 2048, 64
# Frames that SAC of pixels keeps: more than it comes to see, at 25 kB each with the one after.
_KEPT = 50_000
_FIGURES = {
    "at_frames": "success_{}_same_frames",
    "at_minutes": "success_{}_same_minutes",
    "success": "success_{}",
    "frames": "{}_frames",
    "minutes": "{}_minutes",
}


class _Unseen(PushWorld):
    """The Push table without pictures."""

    def render(self) -> Frame:
        """A black frame, at no cost."""
        return np.zeros((self.size_px, self.size_px, 3), np.uint8)


class StatePush(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """The Push table as features of its true state, float32 (FEATURES,), without pictures.

    Args:
        options: keyword arguments of `PushWorld`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        self.world = _Unseen(**options)
        self.observation_space = gym.spaces.Box(-8, 8, (FEATURES,), np.float32)
        self.action_space = self.world.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode."""
        _, info = self.world.reset(seed=seed)
        return self._seen(info), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One step."""
        _, reward, ended, truncated, info = self.world.step(np.asarray(action, np.float32))
        return self._seen(info), float(reward), ended, truncated, {"success": info["success"]}

    def _seen(self, info: Info) -> NDArray[np.float32]:
        state = {name: np.asarray(value)[None] for name, value in info["state"].items()}
        aims = aims_of(torch.from_numpy(np.asarray(info["goal"], np.float32))[None])
        return features_of(true_sight(state), aims)[0].numpy()

    def close(self) -> None:
        """Free the simulator."""
        self.world.close()


class PixelPush(gym.Env[Any, NDArray[np.float32]]):
    """The Push table as it is drawn, "frame" uint8 (H, W, 3), with its "goal" float32 (G,).

    Args:
        options: keyword arguments of `PushWorld`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        self.world = PushWorld(**options)
        size_px = self.world.size_px
        spaces: dict[str, gym.Space[Any]] = {
            "frame": gym.spaces.Box(0, 255, (size_px, size_px, 3), np.uint8),
            "goal": gym.spaces.Box(-1, 1, (GOAL_DIM,), np.float32),
        }
        self.observation_space = gym.spaces.Dict(spaces)
        self.action_space = self.world.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Begin an episode."""
        frame, info = self.world.reset(seed=seed)
        return _shown(frame, info), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """One step."""
        frame, reward, ended, truncated, info = self.world.step(np.asarray(action, np.float32))
        told = {"success": info["success"]}
        return _shown(frame, info), float(reward), ended, truncated, told

    def close(self) -> None:
        """Free the simulator."""
        self.world.close()


def _shown(frame: Frame, info: Info) -> dict[str, NDArray[Any]]:
    return {"frame": frame, "goal": np.asarray(info["goal"], np.float32)}


Table = StatePush | PixelPush


def require_rivals(names: Sequence[str]) -> None:
    """Refuse names of no rival.

    Raises:
        ConfigError: one is not in `RIVALS`.
    """
    if unknown := [name for name in names if name not in RIVALS]:
        raise ConfigError(f"rivals={unknown}; expected some of {', '.join(RIVALS)}.")


def rival_figures(
    names: Sequence[str],
    trials: Sequence[Trial],
    steps: int,
    frames: int,
    minutes: float,
    limit_minutes: float,
    options: Mapping[str, Any],
    seed: int = 0,
    rollout: int = _ROLLOUT,
) -> dict[str, float]:
    """Train each rival and judge it at equal frames and at equal minutes.

    Args:
        names: some of `RIVALS`.
        trials: starts to judge on.
        steps: most steps of an episode.
        frames: steps in MuJoCo that count as equal data.
        minutes: of one core's time that count as equal time.
        limit_minutes: of each rival; what is not reached by then is left out.
        options: keyword arguments of the MuJoCo world.
        seed: of everything.
        rollout: steps that PPO takes before it learns of them.

    Returns:
        `success_NAME_same_frames`, `success_NAME_same_minutes`, and how far it came in all:
        `NAME_frames`, `NAME_minutes`, `success_NAME`; successes with the ends `_low` and `_high`
        of their 95% intervals over starts.

    Raises:
        ConfigError: an unknown rival.
        MissingExtraError: Stable-Baselines3 is not installed.
    """
    require_rivals(names)
    try:
        import stable_baselines3 as sb3
    except ImportError as error:
        raise MissingExtraError(
            "The comparison with PPO and SAC needs stable-baselines3: "
            "`pip install 'worldmodel[sb3]'`. rivals=[] leaves it out."
        ) from error
    kinds = _kinds(sb3, rollout)
    figures: dict[str, float] = {}
    for name in names:
        learner, portion, table, network = kinds[name]
        made: Callable[[], Table] = partial(table, **{**options, "max_steps": steps})
        race = _Race(frames, 60 * minutes, 60 * limit_minutes, portion)
        env = made()
        try:
            rival = learner(network, env, seed=seed, device="cpu")
            found = _raced(rival, made, trials, race)
        finally:
            env.close()
        told = {_FIGURES[key].format(name): value for key, value in found.items()}
        figures |= _spread(told)
        line = ", ".join(f"{key} {np.mean(value):.3g}" for key, value in told.items())
        Console().print(line, highlight=False)
    return figures


class _Kind(NamedTuple):
    """What learns, how many steps at a time, at which table, with which network."""

    learner: Callable[..., Any]
    portion: int
    table: type[Table]
    network: str


def _kinds(sb3: Any, rollout: int) -> dict[str, _Kind]:
    """The rivals by name, made of the modules of Stable-Baselines3."""
    ppo = partial(sb3.PPO, n_steps=rollout)
    pixels = partial(sb3.SAC, buffer_size=_KEPT)
    return {
        "ppo": _Kind(ppo, rollout, StatePush, "MlpPolicy"),
        "sac": _Kind(sb3.SAC, _STEPS, StatePush, "MlpPolicy"),
        "ppo_pixels": _Kind(ppo, rollout, PixelPush, "MultiInputPolicy"),
        "sac_pixels": _Kind(pixels, _STEPS, PixelPush, "MultiInputPolicy"),
    }


def _spread(told: Mapping[str, Any]) -> dict[str, float]:
    """Figures as they are, and shares of trials with their intervals."""
    figures: dict[str, float] = {}
    for name, value in told.items():
        interval = ratio_interval(value) if isinstance(value, np.ndarray) else None
        figures[name] = float(np.mean(value))
        if interval is not None:
            figures[f"{name}_low"], figures[f"{name}_high"] = interval.low, interval.high
    return figures


class _Race(NamedTuple):
    """What a rival is held to: steps in MuJoCo, seconds, most seconds, steps between two looks."""

    frames: int
    seconds: float
    limit_s: float
    portion: int


def _raced(
    rival: Any, made: Callable[[], Table], trials: Sequence[Trial], race: _Race
) -> dict[str, Any]:
    """Train a rival past both marks or to its limit; keys are those of `_FIGURES`."""
    found: dict[str, Any] = {}
    spent = 0.0
    while spent < race.limit_s and (rival.num_timesteps < race.frames or spent < race.seconds):
        # One core's time: that of a machine on which others work as well would tell of them.
        begun, before = time.process_time(), (rival.num_timesteps, spent)
        rival.learn(race.portion, reset_num_timesteps=False)
        spent += time.process_time() - begun
        marks = {
            "at_frames": before[0] < race.frames <= rival.num_timesteps,
            "at_minutes": before[1] < race.seconds <= spent,
        }
        found |= {name: successes_of(rival, made, trials) for name, due in marks.items() if due}
    return found | {
        "success": successes_of(rival, made, trials),
        "frames": float(rival.num_timesteps),
        "minutes": spent / 60,
    }


def successes_of(
    rival: Any, made: Callable[[], Table], trials: Sequence[Trial]
) -> NDArray[np.bool_]:
    """Which of the trials a rival brings to their end, bool (E,)."""
    env = made()
    reached = []
    try:
        for trial in trials:
            seen, _ = env.reset(seed=trial.seed)
            done = success = False
            while not done:
                action, _ = rival.predict(seen, deterministic=True)
                seen, _, ended, truncated, info = env.step(action)
                success = bool(info["success"])
                done = success or ended or truncated
            reached.append(success)
    finally:
        env.close()
    return np.array(reached, bool)
