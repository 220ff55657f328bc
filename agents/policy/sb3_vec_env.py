"""The adapter itself; importing it needs Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import AddRenderObservation
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from envs.learned_vector import WorldModelVectorEnv

__all__ = ["LearnedVecEnv", "rendered_pusher"]

Observation = dict[str, NDArray[Any]]


class LearnedVecEnv(VecEnv):
    """`WorldModelVectorEnv` in the shape of Stable-Baselines3's `VecEnv`.

    Args:
        num_envs: rollouts side by side.
        options: of `WorldModelVectorEnv`.
    """

    def __init__(self, num_envs: int, **options: Any) -> None:
        # Stable-Baselines3 expects the next episode's first frame with the last reward.
        options["autoreset_mode"] = AutoresetMode.SAME_STEP
        self.env = WorldModelVectorEnv(num_envs, **options)
        spaces: dict[str, gym.Space[Any]] = {"frame": self.env.single_observation_space}
        if self.env.pipeline.goal_dim:
            spaces["goal"] = gym.spaces.Box(-1, 1, (self.env.pipeline.goal_dim,), np.float32)
        super().__init__(num_envs, gym.spaces.Dict(spaces), self.env.single_action_space)
        self._goals = np.zeros((num_envs, self.env.pipeline.goal_dim), np.float32)
        self._actions: NDArray[np.float32] = np.zeros((num_envs, 0), np.float32)

    def reset(self) -> Observation:
        """Begin all rollouts; seeds of `seed()` hold for this reset."""
        seed = None if all(s is None for s in self._seeds) else list(self._seeds)
        frames, info = self.env.reset(seed=seed)
        self._reset_seeds()
        return self._observed(frames, info)

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Take the actions of the next `step_wait`."""
        self._actions = np.asarray(actions, np.float32)

    def step_wait(self) -> tuple[Observation, NDArray[Any], NDArray[Any], list[dict[str, Any]]]:
        """Advance all rollouts by one step."""
        before = self._goals.copy()
        frames, rewards, ended, truncated, info = self.env.step(self._actions)
        observed = self._observed(frames, info)
        done = np.asarray(ended | truncated)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for lane in np.flatnonzero(done):
            last = {"frame": info["final_obs"][lane]}
            if "goal" in observed:
                last["goal"] = before[lane]
            infos[lane] = {
                "terminal_observation": last,
                "TimeLimit.truncated": bool(truncated[lane] and not ended[lane]),
            }
        return observed, np.asarray(rewards, np.float32), done, infos

    def _observed(self, frames: Any, info: dict[str, Any]) -> Observation:
        observed = {"frame": np.asarray(frames)}
        if self.env.pipeline.goal_dim:
            fresh = np.asarray(info["_goal"])
            self._goals = np.where(fresh[:, None], info["goal"], self._goals).astype(np.float32)
            observed["goal"] = self._goals.copy()
        return observed

    def close(self) -> None:
        """Free the starts' MuJoCo world."""
        self.env.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """The present frames."""
        return list(self.env.render() or [None] * self.num_envs)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, the same for all lanes."""
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of all lanes."""
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **options: Any
    ) -> list[Any]:
        """Call a method of the vector environment once; every lane asked for gets the answer."""
        answer = getattr(self.env, method_name)(*args, **options)
        return [answer] * len(list(self._get_indices(indices)))

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """No lane is wrapped: there are no single environments inside."""
        return [False] * len(list(self._get_indices(indices)))


def rendered_pusher() -> gym.Env[Any, Any]:
    """`Pusher-v5` as Gymnasium renders it, 64 px, with frames as observations."""
    return AddRenderObservation(
        gym.make("Pusher-v5", render_mode="rgb_array", width=64, height=64), render_only=True
    )
