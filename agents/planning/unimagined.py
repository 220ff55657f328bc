"""A planner that imagines nothing: the baseline that says what imagination is worth."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from agents.planning.bodies import Bodies
from agents.planning.cost import GoalCost
from agents.planning.planners import Plan
from agents.planning.proposals import push_proposals

__all__ = ["FirstProposal"]


class FirstProposal:
    """Takes the straight push, whatever it would come to.

    Args:
        horizon: actions of a plan.
        seed: of the draws after failed attempts.
    """

    def __init__(self, horizon: int = 6, seed: int = 0) -> None:
        self.horizon = horizon
        self.seed = seed
        self.widen(0)

    def widen(self, attempt: int) -> None:
        """After the first attempt, pushes at angles drawn at random."""
        self._attempt = attempt
        self._rng = np.random.default_rng((self.seed, attempt))

    def plan(self, model: Any, cost: GoalCost, before: Plan | None, done: int) -> Plan:
        """The first proposal; arguments as in `Planner.plan`."""
        begin = time.perf_counter()
        start = cost.start
        row = 0 if self._attempt == 0 else int(self._rng.integers(11))
        actions = push_proposals(
            start.pusher_m,
            start.position_m[cost.colour],
            cost.place,
            row + 1,
            self.horizon,
            self._rng,
        )[row]
        # Nothing is expected, so nothing can surprise.
        expected = Bodies(*(values[None][:0] for values in vars(start).values()))
        return Plan(actions, expected, (), np.nan, 0.0, 0, time.perf_counter() - begin)
