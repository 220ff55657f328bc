"""Whether an instruction was carried out, by the simulator's own state: to measure, not to act."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym

from agents.language.steps import Step
from envs.push import PushWorld

__all__ = ["Judge"]


class Judge:
    """Watches a Push world; every step has to come true, one after the other.

    Args:
        world: unwrapped, or wrapped.
        steps: what should happen.
    """

    def __init__(self, world: gym.Env[Any, Any], steps: Sequence[Step]) -> None:
        base = world.unwrapped
        self._world = base if isinstance(base, PushWorld) else None
        self._steps = tuple(steps)
        self._number = 0

    def __call__(self) -> bool | None:
        """Look at the present state; True from when all is done, None where nothing is known."""
        if self._world is None:
            return None
        while self._number < len(self._steps) and self._holds(self._steps[self._number]):
            self._number += 1
        return self._number == len(self._steps)

    def _holds(self, step: Step) -> bool:
        world = self._world
        assert world is not None
        goal, state = step.goal(), world.named_state()
        slot = world.slot_of(goal.colour)
        if slot < 0 or (goal.wall < 0 and goal.zone_colour not in state["zone_colour"]):
            return False
        position = state["object_position_m"][slot]
        return goal.reached(goal.distance_m(position, world.place_m(goal)))
