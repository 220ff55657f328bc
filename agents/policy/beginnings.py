"""Where lanes of a world model begin: frames read when they are drawn, or read once before."""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from agents.policy.lanes import Carried, Lanes
from agents.policy.pose_lanes import PoseState
from agents.policy.sight import Sight
from agents.policy.starts import Start, open_goals
from multimodal.errors import DatasetError

__all__ = ["Beginnings", "FreshBeginnings", "ReadBeginnings", "Starts"]

_ATTEMPTS = 50
S = TypeVar("S", bound=Carried)
S_co = TypeVar("S_co", bound=Carried, covariant=True)


class Starts(Protocol):
    """A source of frames to begin at."""

    def draw(self, count: int, rng: np.random.Generator) -> Start:
        """`count` frames with goals."""


class Beginnings(Protocol[S_co]):
    """A source of rollouts that have just begun."""

    def draw(self, count: int, rng: np.random.Generator) -> tuple[S_co, Tensor]:
        """`count` rollouts and their goals (count, G)."""


class FreshBeginnings(Generic[S]):
    """Recorded frames, read whenever they are drawn.

    Args:
        lanes: the world model.
        starts: of frames and goals.
    """

    def __init__(self, lanes: Lanes[S], starts: Starts) -> None:
        self._lanes, self._starts = lanes, starts

    def draw(self, count: int, rng: np.random.Generator) -> tuple[S, Tensor]:
        """`count` rollouts and their goals."""
        start = self._starts.draw(count, rng)
        state = self._lanes.begin(start, int(rng.integers(2**31)))
        return state, start.goals.to(self._lanes.device)


class ReadBeginnings:
    """Frames that were read before, each of which serves for every goal that it allows.

    Args:
        states: rollouts that have just begun, on the model's device.
        rough: share of the rollouts in which edges hold what is pushed along them. A model in
            which everything slides along walls teaches to push into them, where MuJoCo jams.
    """

    def __init__(self, states: PoseState, rough: float = 0.0) -> None:
        self._states, self._rough = states, rough

    def draw(self, count: int, rng: np.random.Generator) -> tuple[PoseState, Tensor]:
        """`count` rollouts and goals, none of which is reached already.

        Raises:
            DatasetError: hardly any frame has an object that is not yet where it could go.
        """
        states: list[PoseState] = []
        goals: list[Tensor] = []
        for _ in range(_ATTEMPTS):
            rows = torch.from_numpy(rng.integers(self._states.batch_size, size=count + 8))
            drawn = self._states.select(rows)
            wanted, open_ = open_goals(Sight.from_vector(drawn.sight), rng)
            kept = open_.nonzero()[:, 0]
            states.append(drawn.select(kept))
            goals.append(wanted[kept])
            if sum(map(len, goals)) >= count:
                break
        else:
            raise DatasetError(
                "Nothing is left to do in nearly all of the frames to begin at, or no object was "
                "recognised in them. Record other scenes, or train the eyes for longer."
            )
        joined = PoseState.concatenate(states).select(range(count))
        drawn_rough = torch.from_numpy(rng.random(count) < self._rough).to(joined.rough.device)
        joined = replace(joined, rough=drawn_rough)
        return joined, torch.cat(goals)[:count]
