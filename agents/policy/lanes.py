"""A world model as the trainer sees it: lanes that begin, go on by actions, and can be seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from agents.policy.starts import Start
from agents.policy.view import View
from multimodal.errors import ConfigError
from worldmodel.device import choose_compute
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.rollout_state import RolloutState

__all__ = ["Carried", "Lanes", "LatentLanes", "fast_format"]


class Carried(Protocol):
    """Rollouts at one instant, as a value."""

    @property
    def step(self) -> Tensor:
        """Steps made so far, int64 (B,)."""

    @property
    def batch_size(self) -> int:
        """B."""

    def select(self, lanes: Sequence[int] | Tensor) -> Self:
        """Some lanes, in the order given."""

    @classmethod
    def concatenate(cls, states: Sequence[Self]) -> Self:
        """The lanes of several, one after the other."""


S = TypeVar("S", bound=Carried)


class Lanes(Protocol[S]):
    """A world model in which a policy can act."""

    @property
    def device(self) -> torch.device:
        """Where everything lies."""

    def begin(self, start: Start, seed: int = 0) -> S:
        """Rollouts at frames and goals."""

    def advance(self, state: S, actions: Tensor) -> S:
        """One step by actions (B, A) inside the world's bounds."""

    def seen(self, state: S) -> Tensor:
        """What is seen, as vectors (B, S)."""

    def doubt(self, state: S, actions: Tensor) -> Tensor:
        """How unsure the model is of what these actions do, (B,)."""


@contextmanager
def fast_format(device: torch.device) -> Iterator[None]:
    """Matrix products in the format that was chosen for this process; see `worldmodel.device`."""
    dtype = choose_compute().dtype
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        yield


class LatentLanes:
    """Lanes whose frames are latents, each read by the eyes: for any world model.

    Args:
        pipeline: the world model.
        view: reads latents.
    """

    def __init__(self, pipeline: WorldModelPipeline, view: View) -> None:
        self.pipeline, self.view = pipeline, view

    @property
    def device(self) -> torch.device:
        """Where everything lies."""
        return self.pipeline.device

    @torch.no_grad()
    def begin(self, start: Start, seed: int = 0) -> RolloutState:
        """Rollouts at frames and goals."""
        told = start.goals if self.pipeline.goal_dim == start.goals.shape[1] else None
        return self.pipeline.reset(start.frames, goals=told, seed=seed)

    @torch.no_grad()
    def advance(self, state: RolloutState, actions: Tensor) -> RolloutState:
        """One step by actions (B, A) inside the world's bounds."""
        with fast_format(self.device):
            return self.pipeline.advance(state, actions)

    @torch.no_grad()
    def seen(self, state: RolloutState) -> Tensor:
        """What is seen, as vectors (B, S)."""
        return self.view.perceive(state.memory.latents)

    def doubt(self, state: RolloutState, actions: Tensor) -> Tensor:
        """Refused: latents cannot be shifted a little, as poses can.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "Only a policy over layers can tell how unsure the model is. Set imagination.doubt=0, "
            "or train in a world model with layers, such as push."
        )
