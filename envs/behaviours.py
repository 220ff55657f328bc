"""Who moves the actuators while a dataset is recorded.

Random motion alone hardly ever touches anything, so three habits alternate within an episode:
pushing an object to a place, driving through an object, and smooth random motion.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.mujoco_world import MujocoWorld
from envs.push import PushWorld
from envs.push_goals import PushGoal
from envs.push_scene import TABLE_HALF_M

__all__ = ["Behaviour", "MixedPushing", "SmoothRandom", "make_behaviour", "push_action"]

Action = NDArray[np.float32]

_STANDOFF_M = 0.062


class Behaviour(Protocol):
    """Chooses actions in a world it can look into."""

    def act(self, world: Any) -> Action:
        """The next action, float32 (A,), inside the world's action space."""
        ...


class SmoothRandom:
    """An Ornstein-Uhlenbeck walk through the action space.

    Args:
        low: lower bound of the action space (A,).
        high: upper bound (A,).
        rng: source of randomness.
        memory: share of the previous deviation kept at each step.
    """

    def __init__(
        self, low: Action, high: Action, rng: np.random.Generator, memory: float = 0.85
    ) -> None:
        self._low, self._high, self._rng, self._memory = low, high, rng, memory
        self._deviation = rng.normal(size=low.shape)

    def act(self, world: Any) -> Action:
        """The next step of the walk; `world` is not looked at."""
        noise = self._rng.normal(size=self._low.shape) * np.sqrt(1 - self._memory**2)
        self._deviation = self._memory * self._deviation + noise
        middle, half = (self._low + self._high) / 2, (self._high - self._low) / 2
        action = middle + 0.7 * half * self._deviation
        return np.clip(action, self._low, self._high).astype(np.float32)


def push_action(
    pusher_m: NDArray[np.float64], object_m: NDArray[np.float64], place_m: NDArray[np.float64]
) -> Action:
    """One step of pushing an object to a place: get behind it, then through it.

    Args:
        pusher_m: pusher position (2,).
        object_m: object position (2,).
        place_m: where the object should go (2,).

    Returns:
        Velocity action in [-1, 1] (2,).
    """
    way = place_m - object_m
    distance = float(np.linalg.norm(way))
    if distance < 0.01:
        return np.zeros(2, np.float32)
    along = way / distance
    offset = pusher_m - object_m
    behind = float(offset @ along)
    aside = offset - behind * along
    if behind < -0.02 and np.linalg.norm(aside) < 0.014:
        target = pusher_m + along * min(0.04, distance) - aside
    elif behind < -0.03:
        target = object_m - along * _STANDOFF_M
    else:
        side = np.array([-along[1], along[0]])
        turn = 1.0 if offset @ side >= 0 else -1.0
        target = object_m + side * turn * _STANDOFF_M * 1.1 - along * _STANDOFF_M
    step = (target - pusher_m) / 0.02
    return np.clip(step / max(1.0, float(np.abs(step).max())), -1, 1).astype(np.float32)


class MixedPushing:
    """Alternates goal-directed pushing, driving through objects and smooth random motion.

    Args:
        world: the Push world, for its scene and action space.
        rng: source of randomness.
    """

    def __init__(self, world: PushWorld, rng: np.random.Generator) -> None:
        space = world.action_space
        self._rng = rng
        self._walk = SmoothRandom(space.low, space.high, rng)
        self._left = 0
        self._habit = "random"
        self._goal = world.goal
        self._noise = 0.0

    def _choose(self, world: PushWorld) -> None:
        rng = self._rng
        self._habit = str(rng.choice(["push", "seek", "random"], p=[0.5, 0.25, 0.25]))
        self._left = int(rng.integers(12, 45) if self._habit == "push" else rng.integers(8, 25))
        self._noise = float(rng.choice([0.0, 0.1, 0.3]))
        state = world.named_state()
        present = np.flatnonzero(state["object_present"])
        slot = int(rng.choice(present))
        colour, shape = int(state["object_colour"][slot]), int(state["object_shape"][slot])
        if rng.random() < 0.5:
            self._goal = PushGoal(colour, shape, int(rng.choice(state["zone_colour"])), -1, 0)
        else:
            self._goal = PushGoal(colour, shape, -1, int(rng.integers(4)), 0)
        self._through_m = rng.uniform(-0.02, 0.02, 2)

    def act(self, world: PushWorld) -> Action:
        """The next action, float32 (2,) in [-1, 1]."""
        if self._left <= 0:
            self._choose(world)
        self._left -= 1
        walk = self._walk.act(world)
        if self._habit == "random":
            return walk
        state = world.named_state()
        pusher_m = state["pusher_position_m"]
        object_m = state["object_position_m"][world.slot_of(self._goal.colour)]
        if self._habit == "seek":
            way = object_m + self._through_m - pusher_m
            if np.linalg.norm(way) < 0.02 or np.abs(object_m).max() > TABLE_HALF_M - 0.03:
                self._left = min(self._left, 3)
            action = way / max(0.02, float(np.abs(way).max()))
        else:
            action = push_action(pusher_m, object_m, world.place_m(self._goal))
            if np.linalg.norm(world.place_m(self._goal) - object_m) < 0.02:
                self._left = 0
        mixed: Action = np.clip(action + self._noise * walk, -1, 1).astype(np.float32)
        return mixed


def make_behaviour(world: MujocoWorld, rng: np.random.Generator) -> Behaviour:
    """The recording behaviour that suits a world.

    Args:
        world: an unwrapped MuJoCo world, already reset.
        rng: source of randomness; the same seed gives the same actions.
    """
    if isinstance(world, PushWorld):
        return MixedPushing(world, rng)
    space = world.action_space
    return SmoothRandom(space.low, space.high, rng)
