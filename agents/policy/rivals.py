"""What training in the model has to stand beside: PPO and SAC of Stable-Baselines3, in MuJoCo.

They are told the true state, as the same features that our policy makes of what it reads, and learn
in the simulator itself, which draws no picture for them. Each is judged when it has taken as many
steps as were recorded for the world model, and when it has had as many minutes as our training.
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
from multimodal.errors import ConfigError, MissingExtraError

__all__ = ["RIVALS", "StatePush", "rival_figures", "success_of"]

RIVALS = ("ppo", "sac")
# Steps between two looks at the clock; PPO's own length of a rollout.
_PORTION = 2048
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


def rival_figures(
    names: Sequence[str],
    trials: Sequence[Trial],
    steps: int,
    frames: int,
    minutes: float,
    limit_minutes: float,
    options: Mapping[str, Any],
    seed: int = 0,
    portion: int = _PORTION,
) -> dict[str, float]:
    """Train each rival and judge it at equal frames and at equal minutes.

    Args:
        names: "ppo", "sac".
        trials: starts to judge on.
        steps: most steps of an episode.
        frames: steps in MuJoCo that count as equal data.
        minutes: that count as equal time.
        limit_minutes: of each rival; what is not reached by then is left out.
        options: keyword arguments of the MuJoCo world.
        seed: of everything.
        portion: steps between two looks at the clock.

    Returns:
        `success_NAME_same_frames`, `success_NAME_same_minutes`, and how far it came in all:
        `NAME_frames`, `NAME_minutes`, `success_NAME`.

    Raises:
        ConfigError: an unknown rival.
        MissingExtraError: Stable-Baselines3 is not installed.
    """
    unknown = [name for name in names if name not in RIVALS]
    if unknown:
        raise ConfigError(f"rivals={unknown}; expected some of {', '.join(RIVALS)}.")
    try:
        import stable_baselines3 as sb3
    except ImportError as error:
        raise MissingExtraError(
            "The comparison with PPO and SAC needs stable-baselines3: "
            "`pip install 'worldmodel[sb3]'`. rivals=[] leaves it out."
        ) from error
    kinds: dict[str, Any] = {"ppo": partial(sb3.PPO, n_steps=portion), "sac": sb3.SAC}
    race = _Race(frames, 60 * minutes, 60 * limit_minutes, portion)
    figures: dict[str, float] = {}
    for name in names:
        made = partial(StatePush, **{**options, "max_steps": steps})
        env = made()
        try:
            rival = kinds[name]("MlpPolicy", env, seed=seed, device="cpu")
            found = _raced(rival, made, trials, race)
        finally:
            env.close()
        told = {_FIGURES[key].format(name): value for key, value in found.items()}
        Console().print(
            ", ".join(f"{key} {value:.3g}" for key, value in told.items()), highlight=False
        )
        figures |= told
    return figures


class _Race(NamedTuple):
    """What a rival is held to: steps in MuJoCo, seconds, most seconds, steps between two looks."""

    frames: int
    seconds: float
    limit_s: float
    portion: int


def _raced(
    rival: Any, made: Callable[[], StatePush], trials: Sequence[Trial], race: _Race
) -> dict[str, float]:
    """Train a rival past both marks or to its limit; keys are those of `_FIGURES`."""
    found: dict[str, float] = {}
    spent = 0.0
    while spent < race.limit_s and (rival.num_timesteps < race.frames or spent < race.seconds):
        begun, before = time.perf_counter(), (rival.num_timesteps, spent)
        rival.learn(race.portion, reset_num_timesteps=False)
        spent += time.perf_counter() - begun
        marks = {
            "at_frames": before[0] < race.frames <= rival.num_timesteps,
            "at_minutes": before[1] < race.seconds <= spent,
        }
        found |= {name: success_of(rival, made, trials) for name, due in marks.items() if due}
    return found | {
        "success": success_of(rival, made, trials),
        "frames": float(rival.num_timesteps),
        "minutes": spent / 60,
    }


def success_of(rival: Any, made: Callable[[], StatePush], trials: Sequence[Trial]) -> float:
    """Share of the trials that a rival brings to their end."""
    env = made()
    reached = 0
    try:
        for trial in trials:
            seen, _ = env.reset(seed=trial.seed)
            done = success = False
            while not done:
                action, _ = rival.predict(seen, deterministic=True)
                seen, _, ended, truncated, info = env.step(action)
                success = bool(info["success"])
                done = success or ended or truncated
            reached += success
    finally:
        env.close()
    return reached / len(trials)
