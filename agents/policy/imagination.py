"""Rollouts inside the world model: batched, without a pixel being drawn.

Lanes go on from round to round. One that reaches its goal, or has run so long that the model's
picture cannot be trusted any more, begins anew at a recorded frame, so that no step is wasted.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from agents.policy.actor_critic import ActorCritic
from agents.policy.beginnings import Beginnings
from agents.policy.heads import log_prob
from agents.policy.lanes import Carried, Lanes

__all__ = ["Imagination", "Imagined"]

S = TypeVar("S", bound=Carried)


class Imagined(NamedTuple):
    """T steps of B rollouts, as the learner needs them.

    Attributes:
        features: before each step and after the last (T + 1, B, F); after an end they are those of
            the lane's next beginning.
        bins: action bins taken (T, B, A).
        chance: log-probability of those under the policy that acted (T, B).
        rewards: (T, B).
        ends: whether that step reached the goal, bool (T, B).
        doubt: how unsure the model was of each step (T, B); zeros where nobody asked.
    """

    features: Tensor
    bins: Tensor
    chance: Tensor
    rewards: Tensor
    ends: Tensor
    doubt: Tensor


class Imagination(Generic[S]):
    """B lanes of a world model in which a policy acts.

    Args:
        lanes: the world model.
        beginnings: where lanes begin.
        count: B.
        longest: steps after which a lane begins anew.
        reserve: beginnings prepared for a round, from which ended lanes take theirs.
        doubt: what a step costs for each unit of the model's doubt about it; 0 never asks.
        blur_m: standard deviation of the reading errors that are added to every number of what the
            policy acts on, metres where it is a place: a rollout carries bodies more smoothly than
            frames are read.
    """

    def __init__(
        self,
        lanes: Lanes[S],
        beginnings: Beginnings[S],
        count: int,
        longest: int = 48,
        reserve: int | None = None,
        doubt: float = 0.0,
        blur_m: float = 0.0,
    ) -> None:
        self.lanes, self.beginnings, self.count, self.longest = lanes, beginnings, count, longest
        self._reserve = max(8, count // 2) if reserve is None else reserve
        self._doubt, self._blur_m = doubt, blur_m
        self._state: S | None = None
        self._goals = torch.zeros(0)

    @torch.no_grad()
    def roll(
        self,
        policy: ActorCritic,
        horizon: int,
        rng: np.random.Generator,
        generator: torch.Generator,
    ) -> Imagined:
        """Let a policy, whose actions are drawn, go on for some steps in every lane.

        Args:
            policy: who acts.
            horizon: T.
            rng: of the beginnings.
            generator: of the actions, on the model's device.
        """
        spare, spare_goals = self._prepare(rng)
        taken = self._renew(spare, spare_goals)
        view = policy.view
        aims = view.aims(self._goals)
        features = [view.features(self._blurred(self.lanes.seen(self._running), generator), aims)]
        bins, chance, rewards, ends, doubts = [], [], [], [], []
        for _ in range(horizon):
            log_probs = policy.log_probs(features[-1])
            drawn = policy.drawn(log_probs, generator)
            actions = policy.action.actions(drawn)
            bounded = policy.bounded(actions)
            doubt = self._doubted(bounded)
            self._state = self.lanes.advance(self._running, bounded)
            seen = self.lanes.seen(self._running)
            reward, end = view.outcome(seen, aims, actions)
            bins.append(drawn)
            chance.append(log_prob(log_probs, drawn))
            rewards.append(reward - self._doubt * doubt)
            ends.append(end)
            doubts.append(doubt)
            if bool(end.any()):
                taken = self._replace(end.nonzero()[:, 0], spare, spare_goals, taken)
                aims = view.aims(self._goals)
                seen = self.lanes.seen(self._running)
            features.append(view.features(self._blurred(seen, generator), aims))
        parts = (features, bins, chance, rewards, ends, doubts)
        return Imagined(*(torch.stack(part) for part in parts))

    def _doubted(self, actions: Tensor) -> Tensor:
        if self._doubt == 0:
            return actions.new_zeros(len(actions))
        return self.lanes.doubt(self._running, actions)

    def _blurred(self, seen: Tensor, generator: torch.Generator) -> Tensor:
        if self._blur_m == 0:
            return seen
        noise = torch.randn(seen.shape, generator=generator, device=seen.device)
        return seen + self._blur_m * noise

    @property
    def _running(self) -> S:
        assert self._state is not None
        return self._state

    def _prepare(self, rng: np.random.Generator) -> tuple[S, Tensor]:
        """Beginnings for this round: rollouts and goals; all lanes' worth in the first round."""
        return self.beginnings.draw(self._reserve + (self.count if self._state is None else 0), rng)

    def _renew(self, spare: S, goals: Tensor) -> int:
        """Begin the lanes that have run longest; how many beginnings were taken."""
        if self._state is None:
            self._state, self._goals = spare.select(range(self.count)), goals[: self.count].clone()
            return self.count
        old = (self._state.step >= self.longest).nonzero()[:, 0]
        return self._replace(old, spare, goals, 0)

    def _replace(self, lanes: Tensor, spare: S, goals: Tensor, taken: int) -> int:
        """Put lanes at the next beginnings, from the first again where they are used up."""
        if not len(lanes):
            return taken
        picks = (torch.arange(len(lanes), device=lanes.device) + taken) % spare.batch_size
        order = torch.arange(self.count, device=lanes.device)
        order[lanes] = self.count + torch.arange(len(lanes), device=lanes.device)
        joined = type(spare).concatenate([self._running, spare.select(picks)])
        self._state = joined.select(order)
        self._goals[lanes] = goals[picks]
        return taken + len(lanes)
