"""What an agent sees and what it may answer: the typed seam between worlds and who acts in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Act", "Agent", "Ask", "Decision", "Observation", "Refuse", "Stop"]


@dataclass(frozen=True)
class Observation:
    """What there is to go by at one step.

    Attributes:
        frame: uint8 (H, W, 3).
        instruction: the task in words.
        step: steps taken so far in the episode.
        privileged: the simulator's own knowledge, empty in a learned world. Only scripted
            baselines may look at it.
    """

    frame: NDArray[np.uint8]
    instruction: str
    step: int
    privileged: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Act:
    """Take this action, float32 (A,)."""

    action: NDArray[np.float32]


@dataclass(frozen=True)
class Ask:
    """The instruction is ambiguous: a question, and the answers that would settle it."""

    question: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refuse:
    """The instruction cannot or must not be carried out, and why."""

    reason: str


@dataclass(frozen=True)
class Stop:
    """Nothing more to do, and why."""

    reason: str


Decision: TypeAlias = Act | Ask | Refuse | Stop


class Agent(Protocol):
    """Anything that decides what to do next."""

    def act(self, observation: Observation) -> Decision:
        """The next decision."""
        ...
