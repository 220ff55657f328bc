"""Rollouts inside the world model: batched, in latent space, without a pixel being drawn.

Lanes go on from round to round. One that reaches its goal, or has run so long that the model's
picture cannot be trusted any more, begins anew at a recorded frame, so that no step is wasted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from agents.policy.heads import log_prob
from agents.policy.policy import Policy
from agents.policy.starts import Start
from worldmodel.device import choose_compute
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.rollout_state import RolloutState

__all__ = ["Imagination", "Imagined", "Starts", "fast_format"]


class Starts(Protocol):
    """A source of beginnings."""

    def draw(self, count: int, rng: np.random.Generator) -> Start:
        """`count` frames with goals."""


class Imagined(NamedTuple):
    """T steps of B rollouts, as the learner needs them.

    Attributes:
        features: before each step and after the last (T + 1, B, F); after an end they are those of
            the lane's next beginning.
        bins: action bins taken (T, B, A).
        chance: log-probability of those under the policy that acted (T, B).
        rewards: (T, B).
        ends: whether that step reached the goal, bool (T, B).
    """

    features: Tensor
    bins: Tensor
    chance: Tensor
    rewards: Tensor
    ends: Tensor


@contextmanager
def fast_format(device: torch.device) -> Iterator[None]:
    """Matrix products in the format that was chosen for this process; see `worldmodel.device`."""
    dtype = choose_compute().dtype
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        yield


class Imagination:
    """B lanes of a world model in which a policy acts.

    Args:
        pipeline: the world model.
        starts: where lanes begin.
        lanes: B.
        longest: steps after which a lane begins anew.
        reserve: beginnings prepared for a round, from which ended lanes take theirs.
    """

    def __init__(
        self,
        pipeline: WorldModelPipeline,
        starts: Starts,
        lanes: int,
        longest: int = 48,
        reserve: int | None = None,
    ) -> None:
        self.pipeline, self.starts, self.lanes, self.longest = pipeline, starts, lanes, longest
        self._reserve = max(8, lanes // 2) if reserve is None else reserve
        self._state: RolloutState | None = None
        self._goals = torch.zeros(0)

    @torch.no_grad()
    def roll(
        self,
        policy: Policy,
        horizon: int,
        rng: np.random.Generator,
        generator: torch.Generator,
    ) -> Imagined:
        """Let a policy, whose actions are drawn, go on for some steps in every lane.

        Args:
            policy: who acts.
            horizon: T.
            rng: of the beginnings.
            generator: of the actions.
        """
        spare, spare_goals = self._prepare(rng)
        taken = self._renew(spare, spare_goals)
        view = policy.view
        aims = view.aims(self._goals)
        features = [view.features(view.perceive(self._present), aims)]
        bins, chance, rewards, ends = [], [], [], []
        for _ in range(horizon):
            log_probs = policy.log_probs(features[-1])
            flat = log_probs.exp().flatten(0, 1)
            drawn = torch.multinomial(flat, 1, generator=generator).view(log_probs.shape[:2])
            actions = policy.action.actions(drawn)
            bounded = policy.scaled(actions).clamp(policy.low, policy.high)
            with fast_format(self.pipeline.device):
                self._state = self.pipeline.advance(self._running, bounded)
            seen = view.perceive(self._present)
            reward, end = view.outcome(seen, aims, actions)
            bins.append(drawn)
            chance.append(log_prob(log_probs, drawn))
            rewards.append(reward)
            ends.append(end)
            if bool(end.any()):
                taken = self._replace(end.nonzero()[:, 0], spare, spare_goals, taken)
                aims = view.aims(self._goals)
                seen = view.perceive(self._present)
            features.append(view.features(seen, aims))
        return Imagined(*(torch.stack(part) for part in (features, bins, chance, rewards, ends)))

    @property
    def _running(self) -> RolloutState:
        assert self._state is not None
        return self._state

    @property
    def _present(self) -> Tensor:
        return self._running.memory.latents

    def _prepare(self, rng: np.random.Generator) -> tuple[RolloutState, Tensor]:
        """Beginnings for this round: rollouts and goals; all lanes' worth in the first round."""
        count = self._reserve + (self.lanes if self._state is None else 0)
        start = self.starts.draw(count, rng)
        told = start.goals if self.pipeline.goal_dim == start.goals.shape[1] else None
        state = self.pipeline.reset(start.frames, goals=told, seed=int(rng.integers(2**31)))
        return state, start.goals.to(self.pipeline.device)

    def _renew(self, spare: RolloutState, goals: Tensor) -> int:
        """Begin the lanes that have run longest; how many beginnings were taken."""
        if self._state is None:
            self._state, self._goals = spare.select(range(self.lanes)), goals[: self.lanes].clone()
            # Lanes of equal age would all end in the same round.
            return self.lanes
        old = (self._state.step >= self.longest).nonzero()[:, 0]
        return self._replace(old, spare, goals, 0)

    def _replace(self, lanes: Tensor, spare: RolloutState, goals: Tensor, taken: int) -> int:
        """Put lanes at the next beginnings, from the first again where they are used up."""
        if not len(lanes):
            return taken
        picks = (torch.arange(len(lanes), device=lanes.device) + taken) % spare.batch_size
        order = torch.arange(self.lanes, device=lanes.device)
        order[lanes] = self.lanes + torch.arange(len(lanes), device=lanes.device)
        joined = RolloutState.concatenate([self._running, spare.select(picks)])
        self._state = joined.select(order)
        self._goals[lanes] = goals[picks]
        return taken + len(lanes)
