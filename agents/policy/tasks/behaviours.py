"""Who acts while a task is recorded: exploring at first, then the policy that gets better."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.policy.tasks.playing import Actor
from envs.behaviours import SmoothRandom
from envs.mujoco_world import MujocoWorld

__all__ = ["Acting", "Exploring"]


class Exploring:
    """Random actions, in some episodes smooth and in others not, in some strong and in others weak.

    Smooth, strong actions reach far; a policy that does well moves little.

    Args:
        low: lower bound of the action space (A,).
        high: upper bound (A,).
        rng: source of randomness.
    """

    def __init__(
        self, low: NDArray[np.float32], high: NDArray[np.float32], rng: np.random.Generator
    ) -> None:
        self._middle = (low + high) / 2
        self._strength = float(rng.uniform(0.1, 1.0))
        self._walk = SmoothRandom(low, high, rng, float(rng.choice([0.0, 0.5, 0.85])))

    def act(self, world: Any) -> NDArray[np.float32]:
        """The next action."""
        wild = self._walk.act(world)
        return (self._middle + self._strength * (wild - self._middle)).astype(np.float32)


class Acting:
    """An actor as a recording behaviour: it sees what the world shows.

    Args:
        actor: who acts; for one episode.
    """

    def __init__(self, actor: Actor) -> None:
        self._actor, self._begun = actor, False

    def act(self, world: MujocoWorld) -> NDArray[np.float32]:
        """The next action."""
        frame = world.render()
        assert frame is not None
        info = {"state": world.named_state()}
        choose = self._actor.go_on if self._begun else self._actor.begin
        self._begun = True
        return choose(frame, info)
