"""Planners over any `Model`: iCEM and MPPI, with proposals as priors and a warm start.

Source: iCEM, Pinneri et al. 2020 (coloured noise, elites kept, shifted elites); MPPI, Williams et
al. 2017.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.planning.bodies import Bodies
from agents.planning.cost import GoalCost
from agents.planning.model import Imagined, imagine
from agents.planning.proposals import push_proposals
from multimodal.errors import ConfigError

__all__ = ["CrossEntropy", "PathIntegral", "Plan", "Planner", "coloured_noise"]


@dataclass(frozen=True, eq=False)
class Plan:
    """Actions that were imagined to do best.

    Attributes:
        actions: float32 (H, A).
        expected: what was imagined to be seen on the way, (R, ...).
        steps: after how many actions each reading stands (R,).
        cost: of this future, in metres to go; NaN where none was imagined.
        doubt: how little of the object was left to see at the end, 0 to 1.
        candidates: futures imagined for it.
        duration_s: time taken.
    """

    actions: NDArray[np.float32]
    expected: Bodies
    steps: tuple[int, ...]
    cost: float
    doubt: float
    candidates: int
    duration_s: float


class Planner(Protocol):
    """Finds actions for a goal by imagining futures."""

    def plan(self, model: Any, cost: GoalCost, before: Plan | None, done: int) -> Plan:
        """The best actions found.

        Args:
            model: where futures are imagined.
            cost: of futures; knows the goal and what is seen now.
            before: the plan followed so far, whose rest is tried again; None without one.
            done: how many of its actions were taken.
        """
        ...

    def widen(self, attempt: int) -> None:
        """Begin the draws anew, further apart the more attempts have failed."""
        ...


def coloured_noise(
    rng: np.random.Generator, count: int, horizon: int, dims: int, beta: float
) -> NDArray[np.float64]:
    """Noise (count, horizon, dims) of unit variance whose spectrum falls as 1/f^beta.

    Source: Timmer and König 1995.
    """
    frequency = np.fft.rfftfreq(horizon)
    frequency[0] = 1 / horizon
    scale = frequency ** (-beta / 2)
    shape = (count, dims, len(frequency))
    spectrum = scale * (rng.normal(size=shape) + 1j * rng.normal(size=shape))
    noise = np.fft.irfft(spectrum, n=horizon, axis=-1)
    noise /= noise.std(axis=(0, 2), keepdims=True) + 1e-9
    return np.moveaxis(noise, 1, 2)


@dataclass
class _Search:
    """What both planners share.

    Args:
        candidates: futures of each iteration.
        horizon: steps of each.
        iterations: how often the best are looked around.
        every: read imagined frames after so many steps.
        noise: standard deviation of the noise around what was best.
        beta: colour of the noise; 0 is white, 2 is smooth.
        proposals: share of the first iteration's candidates that are pushes from different sides.
        seed: of all draws.
    """

    candidates: int = 16
    horizon: int = 12
    iterations: int = 1
    every: int = 4
    noise: float = 0.4
    beta: float = 2.0
    proposals: float = 0.75
    seed: int = 0
    _rng: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("candidates", "horizon", "iterations", "every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"planner.{name} must be at least 1, got {getattr(self, name)}.")
        self.widen(0)

    def widen(self, attempt: int) -> None:
        """Begin the draws anew, further apart the more attempts have failed."""
        self._rng = np.random.default_rng((self.seed, attempt))
        self._spread = self.noise * (1 + 0.5 * attempt)

    def _first(self, cost: GoalCost, before: Plan | None, done: int) -> NDArray[np.float32]:
        """Proposals, the rest of the last plan, and noise around both."""
        start = cost.start
        count = min(self.candidates, max(1, round(self.proposals * self.candidates)))
        pushes = push_proposals(
            start.pusher_m,
            start.position_m[cost.colour],
            cost.place,
            count,
            self.horizon,
            self._rng,
            cost.others_m(),
        )
        parts = [pushes]
        if before is not None and count < self.candidates:
            parts.append(_rest(before.actions, done, self.horizon)[None])
        missing = self.candidates - sum(len(part) for part in parts)
        if missing > 0:
            around = np.concatenate(parts)[self._rng.integers(sum(map(len, parts)), size=missing)]
            parts.append(self._around(around, self._spread))
        return np.concatenate(parts)

    def _around(
        self, means: NDArray[Any], spread: float | NDArray[np.float64]
    ) -> NDArray[np.float32]:
        count, horizon, dims = means.shape
        noise = coloured_noise(self._rng, count, horizon, dims, self.beta)
        return np.clip(means + spread * noise, -1, 1).astype(np.float32)


def _rest(actions: NDArray[np.float32], done: int, horizon: int) -> NDArray[np.float32]:
    """What is left of a plan, its last action repeated."""
    rest = actions[min(done, len(actions) - 1) :]
    missing = horizon - len(rest)
    return np.concatenate([rest, np.repeat(rest[-1:], max(missing, 0), 0)])[:horizon]


@dataclass
class CrossEntropy(_Search):
    """iCEM: look where the elites are, keep them, start from the last plan.

    Args:
        elites: how many are kept of each iteration.
    """

    elites: int = 4

    def plan(self, model: Any, cost: GoalCost, before: Plan | None, done: int) -> Plan:
        """The best future of all iterations; arguments as in `Planner.plan`."""
        begin = time.perf_counter()
        actions = self._first(cost, before, done)
        best: tuple[float, NDArray[np.float32], Imagined[Any], int] | None = None
        for iteration in range(self.iterations):
            seen = imagine(model, actions, self.every)
            costs = cost(seen.bodies, seen.steps, self.horizon)
            order = np.argsort(costs, kind="stable")
            if best is None or costs[order[0]] < best[0]:
                best = float(costs[order[0]]), actions[order[0]], seen, int(order[0])
            if iteration + 1 < self.iterations:
                kept = actions[order[: self.elites]]
                spread = np.maximum(kept.std(0), 0.15) * (self._spread / self.noise)
                means = np.repeat(kept.mean(0)[None], self.candidates - len(kept), 0)
                actions = np.concatenate([kept, self._around(means, spread)])
        assert best is not None
        value, chosen, seen, row = best
        return _plan(chosen, seen.bodies[row], seen.steps, value, cost, self, begin)


@dataclass
class PathIntegral(_Search):
    """MPPI: average the candidates, each weighed by exp(-cost / temperature).

    Args:
        temperature_m: metres of cost that make a candidate e times lighter.
    """

    temperature_m: float = 0.01

    def plan(self, model: Any, cost: GoalCost, before: Plan | None, done: int) -> Plan:
        """The weighted average, imagined as well, or the best candidate where that is better."""
        begin = time.perf_counter()
        actions = self._first(cost, before, done)
        for iteration in range(self.iterations):
            seen = imagine(model, actions, self.every)
            costs = cost(seen.bodies, seen.steps, self.horizon)
            weights = np.exp(-(costs - costs.min()) / self.temperature_m)
            mean = np.tensordot(weights / weights.sum(), actions, 1).astype(np.float32)
            if iteration + 1 < self.iterations:
                means = np.repeat(mean[None], self.candidates, 0)
                actions = self._around(means, self._spread)
        row = int(costs.argmin())
        averaged = imagine(model, mean[None], self.every)
        average = float(cost(averaged.bodies, averaged.steps, self.horizon)[0])
        if average < costs[row]:
            return _plan(mean, averaged.bodies[0], averaged.steps, average, cost, self, begin)
        return _plan(
            actions[row], seen.bodies[row], seen.steps, float(costs[row]), cost, self, begin
        )


def _plan(
    actions: NDArray[np.float32],
    expected: Bodies,
    steps: tuple[int, ...],
    value: float,
    cost: GoalCost,
    search: _Search,
    begin: float,
) -> Plan:
    return Plan(
        actions=actions,
        expected=expected,
        steps=steps,
        cost=value,
        doubt=float(1 - expected.presence[-1, cost.colour]),
        candidates=search.candidates * search.iterations,
        duration_s=time.perf_counter() - begin,
    )
