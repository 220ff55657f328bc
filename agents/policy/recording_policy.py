"""A policy as the one who acts while a dataset is recorded; it sees frames alone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from agents.policy.policy import Policy
from envs.push import PushWorld

__all__ = ["PolicyBehaviour"]


class PolicyBehaviour:
    """A policy that records where it goes, and a little of what lies beside.

    Args:
        policy: who acts; its actions are drawn.
        seed: of the draws.
        wander: chance that a random action is held for some steps instead, so that the model also
            sees what lies beside the policy's way.
    """

    def __init__(self, policy: Policy, seed: int, wander: float = 0.1) -> None:
        self._policy, self._wander = policy, wander
        self._generator = torch.Generator(policy.low.device)
        self._generator.manual_seed(seed)
        self._rng = np.random.default_rng([seed, 2])
        self._held: list[NDArray[np.float32]] = []

    def act(self, world: PushWorld) -> NDArray[np.float32]:
        """The next action, float32 (A,)."""
        if self._held:
            return self._held.pop()
        low, high = world.action_space.low, world.action_space.high
        if self._rng.random() < self._wander / 5:
            self._held = [self._rng.uniform(low, high).astype(np.float32)] * 5
        frame, goal = world.render(), world.goal.vector()
        action: NDArray[np.float32] = (
            self._policy.act(frame[None], goal[None], self._generator)[0].cpu().numpy()
        )
        return action
