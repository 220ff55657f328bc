"""One agent, one environment, one episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from agents.protocol import Act, Agent, Decision, Observation

__all__ = ["EpisodeResult", "run_episode"]


@dataclass(frozen=True)
class EpisodeResult:
    """How an episode went.

    Attributes:
        success: whether the goal was reached at any step.
        total_reward: sum of rewards.
        steps: actions taken.
        last: the decision that ended it, or None when the environment did.
    """

    success: bool
    total_reward: float
    steps: int
    last: Decision | None


def run_episode(
    env: gym.Env[Any, Any], agent: Agent, seed: int | None = None, max_steps: int = 1000
) -> EpisodeResult:
    """Let an agent act until it stops, asks or refuses, or the episode ends.

    Args:
        env: a MuJoCo world or a learned one.
        agent: who acts.
        seed: of the episode.
        max_steps: a limit for environments that never truncate.
    """
    frame, info = env.reset(seed=seed)
    total, success = 0.0, bool(info.get("success", False))
    for step in range(max_steps):
        privileged: dict[str, Any] = {k: info[k] for k in ("state", "success") if k in info}
        decision = agent.act(Observation(frame, str(info.get("instruction", "")), step, privileged))
        if not isinstance(decision, Act):
            return EpisodeResult(success, total, step, decision)
        frame, reward, terminated, truncated, info = env.step(decision.action)
        total += float(reward)
        success = success or bool(info.get("success", terminated))
        if terminated or truncated:
            return EpisodeResult(success, total, step + 1, None)
    return EpisodeResult(success, total, max_steps, None)
