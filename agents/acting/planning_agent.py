"""The agent: understands an instruction, imagines pushes, acts, checks what happened, replans."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.language.ground import Grounded, ground
from agents.language.parse import parse
from agents.language.steps import Step
from agents.planning.cost import GoalCost
from agents.planning.planners import Plan, Planner
from agents.protocol import Act, Ask, Decision, Observation, Refuse, Stop
from agents.seeing import Eyes, Sighting
from multimodal.errors import ConfigError
from multimodal.language.vocabulary import COLOURS

__all__ = ["AgentSettings", "PlanningAgent", "Understand", "understood"]

Understand = Callable[[str, Sighting], Grounded]


class _Imagination(Protocol):
    """A `Model` that is shown what really happens."""

    def observe(self, frame: NDArray[np.uint8], action: NDArray[np.float32] | None) -> None:
        """Take in a frame and the action that led to it; None begins anew."""
        ...


@dataclass(frozen=True)
class AgentSettings:
    """How the agent goes about it.

    Attributes:
        commit: actions taken of a plan before the next one is made.
        surprise_m: how far object or pusher may be from where they were imagined before the plan
            is dropped.
        patience: plans in a row that may bring nothing.
        progress_m: metres to go that count as something.
        attempts: how often the search is widened before giving up.
        first: actions taken of the very first plan, which is a quick one so that it moves at once.
    """

    commit: int = 6
    surprise_m: float = 0.025
    patience: int = 5
    progress_m: float = 0.01
    attempts: int = 4
    first: int = 3

    def __post_init__(self) -> None:
        if self.commit < 1 or self.patience < 1 or self.attempts < 1:
            raise ConfigError("commit, patience and attempts must be at least 1.")


def understood(instruction: str, sighting: Sighting) -> Grounded:
    """Steps, question or refusal by the table's own grammar."""
    return ground(parse(instruction), sighting)


class PlanningAgent:
    """Looks, understands, imagines, acts and checks; one call of `act` for each tick.

    It goes by frames and words alone, never by an observation's privileged part.

    Args:
        eyes: read the real frames.
        model: where futures are imagined; None for a planner that imagines nothing.
        planner: finds actions.
        settings: how it goes about it.
        understand: turns an instruction and a sighting into steps, a question or a refusal.
        quick: finds the very first actions after an instruction; `planner` when not given.
    """

    def __init__(
        self,
        eyes: Eyes,
        model: _Imagination | None,
        planner: Planner,
        settings: AgentSettings | None = None,
        understand: Understand = understood,
        quick: Planner | None = None,
    ) -> None:
        self.eyes = eyes
        self.model = model
        self.planner: Planner = planner
        self.settings = settings or AgentSettings()
        self._understand = understand
        self._quick = quick
        self.events: list[dict[str, Any]] = []
        self.timing_ms: dict[str, float] = {}
        self._forget()

    def _forget(self) -> None:
        self._instruction: str | None = None
        self._steps: tuple[Step, ...] = ()
        self._number = 0
        self._fresh = self._quick is not None
        self._plan: Plan | None = None
        self._done = 0
        self._until = self.settings.commit
        self._last: NDArray[np.float32] | None = None
        self._sighting: Sighting | None = None
        self._begin_step()

    def _begin_step(self) -> None:
        self._best_m = np.inf
        self._fruitless = 0
        self._attempt = 0
        self._plan = None
        self.planner.widen(0)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was understood of the instruction."""
        return self._steps

    @property
    def sighting(self) -> Sighting | None:
        """What was seen last."""
        return self._sighting

    def understand(self, instruction: str, frame: NDArray[np.uint8]) -> Grounded:
        """What an instruction means in front of a frame, without beginning to act."""
        return self._understand(instruction, self.eyes.look(frame))

    def act(self, observation: Observation) -> Decision:
        """The next decision: an action, or the end of it.

        Raises:
            FrameError: the frame is no picture.
        """
        self.events, self.timing_ms = [], {}
        if observation.step == 0 or observation.instruction != self._instruction:
            self._forget()
        with _Timed(self.timing_ms, "look"):
            self._look(observation.frame)
        assert self._sighting is not None
        if self._instruction is None:
            self._instruction = observation.instruction
            with _Timed(self.timing_ms, "understand"):
                answer = self._understand(observation.instruction, self._sighting)
            if isinstance(answer, Ask | Refuse | Stop):
                return answer
            self._steps = answer
            self._note("understood", steps=[step.model_dump() for step in answer])
        return self._pursue()

    def _look(self, frame: NDArray[np.uint8]) -> None:
        before = self._sighting
        seen = self.eyes.look(frame, before.zones if before else ())
        if self.model is not None:
            self.model.observe(self.eyes.fitted(frame), self._last)
        self._sighting = seen

    def _pursue(self) -> Decision:
        """Go on with the present step, or with the next where it is done."""
        assert self._sighting is not None
        while self._number < len(self._steps):
            step = self._steps[self._number]
            colour = COLOURS.index(step.colour)
            cost = GoalCost(colour, step.place(self._sighting), self._sighting.bodies)
            if self._sighting.object(step.colour) is not None and bool(
                cost.place.reached(self._sighting.bodies.position_m[colour])
            ):
                self._note("step_done", number=self._number, step=step.words())
                self._number += 1
                self._begin_step()
                continue
            return self._towards(cost)
        return Stop("Done: " + "; ".join(step.words() for step in self._steps) + ".")

    def _towards(self, cost: GoalCost) -> Decision:
        why = self._why_replan(cost)
        if why:
            stuck = self._stuck(cost)
            if stuck is not None:
                return stuck
            planner = self._quick if self._fresh and self._quick is not None else self.planner
            with _Timed(self.timing_ms, "plan"):
                self._plan = planner.plan(self.model, cost, self._plan, self._done)
            self._until = self.settings.first if self._fresh else self.settings.commit
            self._fresh, self._done = False, 0
            self._note_plan(why, self._plan)
        assert self._plan is not None
        action = self._plan.actions[self._done]
        self._done += 1
        self._last = action
        return Act(action)

    def _why_replan(self, cost: GoalCost) -> str:
        """Why a new plan is due, "" where it is not."""
        plan = self._plan
        if plan is None:
            return "new step"
        if self._done in plan.steps:
            row = plan.steps.index(self._done)
            expected, seen = plan.expected[row], cost.start
            pusher = np.linalg.norm(expected.pusher_m - seen.pusher_m)
            thing = np.linalg.norm(expected.position_m[cost.colour] - seen.position_m[cost.colour])
            believed = expected.presence[cost.colour] > 0.5
            off_m = float(max(pusher, thing if believed else 0.0))
            self._note("checked", off_m=round(off_m, 4))
            if off_m > self.settings.surprise_m:
                return f"surprise of {1000 * off_m:.0f} mm"
        return "plan carried out" if self._done >= min(self._until, len(plan.actions)) else ""

    def _stuck(self, cost: GoalCost) -> Stop | None:
        """Widen the search where plans bring nothing; give up when that does not help."""
        start = cost.start
        left_m = float(cost.to_go_m(start.pusher_m[None], start.position_m[cost.colour][None])[0])
        if left_m < self._best_m - self.settings.progress_m:
            self._best_m, self._fruitless = left_m, 0
            return None
        self._fruitless += 1
        if self._fruitless < self.settings.patience:
            return None
        self._fruitless, self._best_m = 0, np.inf
        self._attempt += 1
        if self._attempt >= self.settings.attempts:
            step = self._steps[self._number].words()
            return Stop(f"I give up: {step} gets nowhere after {self._attempt} attempts.")
        self.planner.widen(self._attempt)
        self._note("widened", attempt=self._attempt, to_go_m=round(left_m, 4))
        return None

    def _note_plan(self, why: str, plan: Plan) -> None:
        self._note(
            "planned",
            why=why,
            cost_m=round(plan.cost, 4) if np.isfinite(plan.cost) else None,
            doubt=round(plan.doubt, 3),
            candidates=plan.candidates,
            duration_ms=round(1000 * plan.duration_s, 2),
            actions=np.round(plan.actions, 4).tolist(),
        )

    def _note(self, event: str, **values: Any) -> None:
        self.events.append({"event": event, **values})


class _Timed:
    """Adds how long something took to a dictionary, in milliseconds."""

    def __init__(self, into: dict[str, float], name: str) -> None:
        self._into, self._name = into, name

    def __enter__(self) -> None:
        self._begin = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = 1000 * (time.perf_counter() - self._begin)
        self._into[self._name] = round(self._into.get(self._name, 0.0) + spent, 3)
