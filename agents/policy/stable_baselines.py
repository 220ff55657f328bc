"""The learned worlds for Stable-Baselines3: its own algorithms train in them unchanged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from multimodal.errors import MissingExtraError

if TYPE_CHECKING:
    from agents.policy.sb3_vec_env import LearnedVecEnv

__all__ = ["learned_vec_env", "pusher_steps_per_s"]

_INSTALL = "needs stable-baselines3: `pip install 'worldmodel[sb3]'`."


def learned_vec_env(num_envs: int, **options: Any) -> LearnedVecEnv:
    """A learned world as the `VecEnv` that Stable-Baselines3 trains on.

    Observations are `{"frame": uint8 (64, 64, 3), "goal": float32 (G,)}`: use `MultiInputPolicy`.

    Args:
        num_envs: how many rollouts side by side, all in one forward pass.
        options: as for `envs.WorldModelVectorEnv`: checkpoint, max_steps, start_frames, ...

    Raises:
        MissingExtraError: Stable-Baselines3 is not installed.
    """
    try:
        from agents.policy.sb3_vec_env import LearnedVecEnv
    except ImportError as error:
        raise MissingExtraError(f"Training with Stable-Baselines3 {_INSTALL}") from error
    return LearnedVecEnv(num_envs, **options)


def pusher_steps_per_s(seconds: float) -> float:
    """Steps per second at which PPO of Stable-Baselines3 trains on `Pusher-v5` from pixels.

    Gymnasium's own renderer at 64 px, one environment, the algorithm's default settings with a
    shorter rollout so that every measurement holds both acting and learning.

    Args:
        seconds: how long to measure, at least.

    Raises:
        MissingExtraError: Stable-Baselines3 is not installed.
    """
    try:
        from stable_baselines3 import PPO

        from agents.policy.sb3_vec_env import rendered_pusher
    except ImportError as error:
        raise MissingExtraError(f"This comparison {_INSTALL}") from error
    env = rendered_pusher()
    try:
        model = PPO("CnnPolicy", env, n_steps=64, batch_size=64, device="auto")
        model.learn(64)
        begun, steps = time.perf_counter(), 0
        while steps == 0 or time.perf_counter() - begun < seconds:
            model.learn(64, reset_num_timesteps=False)
            steps += 64
        return steps / (time.perf_counter() - begun)
    finally:
        env.close()
