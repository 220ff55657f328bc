"""A policy in MuJoCo: it watches frames through its world model, and acts on what that keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.policy.tasks.playing import Actor
from agents.policy.tasks.policy import TaskPolicy
from worldmodel.dynamics import Memory
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["Watcher"]


class Watcher(Actor):
    """One environment's eyes and memory.

    Args:
        world: a compact world.
        policy: that was trained in it.
        generator: draws actions; None takes their mean.
        wild: chance of a uniformly random action instead.
    """

    def __init__(
        self,
        world: WorldModelPipeline,
        policy: TaskPolicy,
        generator: torch.Generator | None = None,
        wild: float = 0.0,
    ) -> None:
        self._world, self._policy = world, policy
        self._generator, self._wild = generator, wild
        self._memory: Memory | None = None
        self._action = torch.zeros(0)

    def begin(self, frame: NDArray[np.uint8], info: Mapping[str, Any]) -> NDArray[np.float32]:
        """The first action of an episode."""
        self._memory = self._world.reset(frame[None, None]).memory
        return self._chosen()

    @torch.no_grad()
    def go_on(self, frame: NDArray[np.uint8], info: Mapping[str, Any]) -> NDArray[np.float32]:
        """The next action."""
        assert self._memory is not None
        world, policy = self._world, self._policy
        scaled = (self._action - policy.low) / (policy.high - policy.low) * 2 - 1
        prediction = world.dynamics.predict(self._memory, scaled)
        latents: Tensor = world.tokenizer.encode(frame[None, None])[:, 0]
        self._memory = world.dynamics.advance(self._memory, latents, prediction)
        return self._chosen()

    def _chosen(self) -> NDArray[np.float32]:
        assert self._memory is not None
        policy = self._policy
        self._action = policy.act(self._memory.latents, self._generator)
        if self._generator is not None and self._wild > 0:
            draw = torch.rand(1 + len(policy.low), generator=self._generator)
            if float(draw[0]) < self._wild:
                self._action = (policy.low + draw[1:] * (policy.high - policy.low))[None]
        action: NDArray[np.float32] = self._action[0].numpy()
        return action
