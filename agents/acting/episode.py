"""One instruction carried out in one world, tick by tick, with a trace and a way to stop it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.acting.trace import Trace
from agents.protocol import Act, Agent, Ask, Decision, Observation, Refuse, Stop

__all__ = ["Outcome", "Status", "carry_out"]

Status = Literal["done", "asked", "refused", "stopped", "gave_up", "out_of_time"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """How an instruction went.

    Attributes:
        status: how it ended.
        message: what the agent says about it.
        success: whether the world says that the goal was reached; None where it does not say.
        ticks: actions taken.
        decision: the last one, None where time ran out.
        timing_ms: what each stage took, one number for each tick in which it happened.
        frames: what was seen, uint8 (T, H, W, 3).
        at_rest: what is seen once the world stands still, uint8 (H, W, 3).
        told: every action that the world was given, the last of them to stand still.
    """

    status: Status
    message: str
    success: bool | None
    ticks: int
    decision: Decision | None
    timing_ms: dict[str, list[float]] = field(default_factory=dict)
    frames: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 1, 1, 3), np.uint8))
    at_rest: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1, 1, 3), np.uint8))
    told: tuple[tuple[float, ...], ...] = ()


def carry_out(
    world: gym.Env[Any, Any],
    agent: Agent,
    instruction: str,
    start: tuple[NDArray[np.uint8], dict[str, Any]],
    *,
    max_ticks: int = 200,
    stop: Event | None = None,
    trace: Trace | None = None,
    judge: Callable[[], bool | None] | None = None,
    tick_s: float = 0.0,
) -> Outcome:
    """Let an agent act until it is done, asks, refuses, is stopped or runs out of time.

    The world is left at rest: the last thing it is told is to stand still. `stop` is looked at
    before every action, so that at most one tick passes after it is set; while the agent plans,
    which is several ticks long, nothing moves.

    Args:
        world: already reset; MuJoCo or learned.
        agent: who acts.
        instruction: in words.
        start: frame and info that `world.reset` gave.
        max_ticks: actions at most.
        stop: set from another thread to halt.
        trace: where to write what happens.
        judge: says after each tick, and once the world stands still, whether the instruction has
            been carried out; without one the world's own goal counts, where it tells.
        tick_s: least duration of a tick, 0 for as fast as it goes.
    """
    frame, info = start
    ask = judge or (lambda: _success(info))
    record = _Record(trace, frame)
    success = ask()
    decision: Decision | None = None
    ended = False
    while record.ticks < max_ticks and not ended:
        began = time.perf_counter()
        known: dict[str, Any] = {name: info[name] for name in ("state", "success") if name in info}
        decision = agent.act(Observation(frame, instruction, record.ticks, known))
        record.agent(agent)
        if stop is not None and stop.is_set():
            decision = Stop("I was told to stop.")
        if not isinstance(decision, Act):
            break
        frame, _, terminated, truncated, info = world.step(decision.action)
        now = ask()
        success = _ever(success, now)
        record.tick(decision.action, frame, now, began)
        decision, ended = _after(terminated, truncated), terminated or truncated
        if tick_s and not ended:
            time.sleep(max(0.0, tick_s - (time.perf_counter() - began)))
    if record.ticks:
        frame, info = record.rest(world)
        success = _ever(success, ask())
    status, message = _ended(decision, stop)
    record.end(status, message, success)
    return Outcome(
        status, message, success, record.ticks, decision, record.timing_ms,
        np.stack(record.frames), frame, tuple(record.told),
    )  # fmt: skip


class _Record:
    """Keeps timings, frames and what the world was told; writes the trace where there is one."""

    def __init__(self, trace: Trace | None, frame: NDArray[np.uint8]) -> None:
        self._trace = trace
        self.ticks = 0
        self.frames = [frame]
        self.told: list[tuple[float, ...]] = []
        self.timing_ms: dict[str, list[float]] = {}
        self._timing: dict[str, float] = {}
        self._seen: dict[str, Any] = {}
        if trace:
            trace.frame(0, frame)

    def agent(self, agent: Agent) -> None:
        """What the agent noted since the last tick."""
        self._timing = dict(getattr(agent, "timing_ms", {}))
        if self._trace:
            for event in getattr(agent, "events", []):
                self._trace.note(**event)
            sighting = getattr(agent, "sighting", None)
            self._seen = sighting.summary() if sighting else {}
        self._keep(self._timing)

    def tick(
        self,
        action: NDArray[np.float32],
        frame: NDArray[np.uint8],
        success: bool | None,
        began: float,
    ) -> None:
        """One action taken."""
        whole = round(1000 * (time.perf_counter() - began), 3)
        timing = self._timing | {"tick": whole, "act": whole - sum(self._timing.values())}
        self._keep({name: timing[name] for name in ("tick", "act")})
        self.ticks += 1
        self.frames.append(frame)
        self.told.append(tuple(float(value) for value in action))
        if self._trace:
            self._trace.frame(self.ticks, frame)
            self._trace.note(
                "tick",
                step=self.ticks,
                action=list(self.told[-1]),
                seen=self._seen,
                success=success,
                timing_ms={name: round(value, 3) for name, value in timing.items()},
            )

    def rest(self, world: gym.Env[Any, Any]) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Stand still for a tick: velocity actuators keep their last command otherwise.

        Returns:
            What is seen after it, and the world's info.
        """
        space = world.action_space
        assert isinstance(space, gym.spaces.Box)
        still = np.clip(np.zeros(space.shape, np.float32), space.low, space.high)
        self.told.append(tuple(float(value) for value in still))
        frame, _, _, _, info = world.step(still)
        return frame, info

    def end(self, status: Status, message: str, success: bool | None) -> None:
        """The last line."""
        if self._trace:
            timing = self._timing if not self.ticks else {}
            self._trace.note(
                "end", status=status, message=message, success=success, ticks=self.ticks,
                timing_ms=timing,
            )  # fmt: skip

    def _keep(self, timing: dict[str, float]) -> None:
        for name, value in timing.items():
            self.timing_ms.setdefault(name, []).append(value)


def _after(terminated: bool, truncated: bool) -> Decision | None:
    """What the end of the world's episode comes to; None where there is none, or time ran out."""
    if terminated and not truncated:
        return Stop("Done: the world says that the goal is reached.")
    return None


def _ever(before: bool | None, now: bool | None) -> bool | None:
    return now if before is None else before or bool(now)


def _success(info: dict[str, Any]) -> bool | None:
    return bool(info["success"]) if "success" in info else None


def _ended(decision: Decision | None, stop: Event | None) -> tuple[Status, str]:
    if isinstance(decision, Ask):
        return "asked", decision.question
    if isinstance(decision, Refuse):
        return "refused", decision.reason
    if isinstance(decision, Stop):
        if (stop is not None and stop.is_set()) or "told to stop" in decision.reason:
            return "stopped", decision.reason
        return ("gave_up" if "give up" in decision.reason else "done"), decision.reason
    return "out_of_time", "I ran out of time."
