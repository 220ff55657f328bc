"""Somewhere to try actions out: what a planner asks of a learned model and of a simulator alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from agents.planning.bodies import Bodies

__all__ = ["Imagined", "Model", "imagine"]

S = TypeVar("S")


class Model(Protocol[S]):
    """A world that can be copied and stepped without anything happening.

    The states `S` are values of N lanes: stepping one leaves it as it was.
    """

    def reset(self) -> S:
        """The present, one lane."""
        ...

    def clone(self, state: S, lanes: int) -> S:
        """One lane, `lanes` times."""
        ...

    def step(self, state: S, actions_NA: NDArray[np.float32]) -> S:
        """All lanes one step further, in one batch."""
        ...

    def read(self, state: S) -> Bodies:
        """Where the bodies are in the frames of N lanes, read off by the state probe."""
        ...


@dataclass(frozen=True, eq=False)
class Imagined(Generic[S]):
    """What N sequences of actions came to.

    Attributes:
        bodies: readings (N, R, ...).
        steps: after how many actions each was read, ascending (R,).
        final: the lanes after the last action.
    """

    bodies: Bodies
    steps: tuple[int, ...]
    final: S


def imagine(model: Model[S], actions_NHA: NDArray[np.float32], every: int) -> Imagined[S]:
    """Try N sequences of actions from the present, all lanes in one batch.

    Args:
        model: where.
        actions_NHA: float32 (N, H, A), inside the action space.
        every: read the frames after so many steps, and after the last: reading costs half as much
            as stepping does.
    """
    lanes, horizon = actions_NHA.shape[:2]
    state = model.clone(model.reset(), lanes)
    readings, steps = [], []
    for step in range(1, horizon + 1):
        state = model.step(state, actions_NHA[:, step - 1])
        if step % every == 0 or step == horizon:
            readings.append(model.read(state))
            steps.append(step)
    return Imagined(Bodies.stack(readings, axis=1), tuple(steps), state)
