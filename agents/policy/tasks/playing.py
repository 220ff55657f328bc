"""Episodes in MuJoCo itself, by whoever acts: what a policy is worth in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.mujoco_world import MujocoWorld

__all__ = ["Actor", "Random", "Starts", "Still", "returns_of"]


@dataclass(frozen=True)
class Starts:
    """Held-out beginnings that all actors play.

    Attributes:
        seeds: of the world's reset, one for each episode.
        steps: most steps of an episode.
    """

    seeds: tuple[int, ...]
    steps: int


class Actor(Protocol):
    """Chooses actions in one episode after the other."""

    def begin(self, frame: NDArray[np.uint8], info: Mapping[str, Any]) -> NDArray[np.float32]:
        """The first action of an episode, float32 (A,)."""
        ...

    def go_on(self, frame: NDArray[np.uint8], info: Mapping[str, Any]) -> NDArray[np.float32]:
        """The next action."""
        ...


class Random(Actor):
    """Uniform actions.

    Args:
        low: lower bounds (A,).
        high: upper bounds (A,).
        seed: of the draws.
    """

    def __init__(self, low: NDArray[np.float32], high: NDArray[np.float32], seed: int = 0) -> None:
        self._low, self._high, self._rng = low, high, np.random.default_rng(seed)

    def begin(self, frame: NDArray[np.uint8], info: Mapping[str, Any]) -> NDArray[np.float32]:
        """Any action."""
        return self._rng.uniform(self._low, self._high).astype(np.float32)

    go_on = begin


class Still(Actor):
    """The middle of the bounds, always.

    Args:
        low: lower bounds (A,).
        high: upper bounds (A,).
    """

    def __init__(self, low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
        self._middle = ((low + high) / 2).astype(np.float32)

    def begin(self, frame: NDArray[np.uint8], info: Mapping[str, Any]) -> NDArray[np.float32]:
        """The same action."""
        return self._middle

    go_on = begin


def returns_of(
    actor: Actor, world: MujocoWorld, seeds: Sequence[int], steps: int
) -> NDArray[np.float64]:
    """Undiscounted returns (E,) of episodes that begin where the world does with these seeds.

    Args:
        actor: who acts.
        world: the MuJoCo world.
        seeds: one for each episode.
        steps: most steps of an episode.
    """
    returns = []
    for seed in seeds:
        frame, info = world.reset(seed=int(seed))
        action, total = actor.begin(frame, info), 0.0
        for step in range(steps):
            frame, reward, terminated, truncated, info = world.step(action)
            total += float(reward)
            if terminated or truncated or step == steps - 1:
                break
            action = actor.go_on(frame, info)
        returns.append(total)
    return np.array(returns)
