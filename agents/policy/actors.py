"""Who can be put to the test: anything that acts on what is seen, the same in model and MuJoCo."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from agents.policy.aims import target_of
from agents.policy.policy import Policy
from agents.policy.sight import Sight
from envs.behaviours import push_action

__all__ = ["Actor", "LearnedActor", "NoisyActor", "RandomActor", "ScriptedActor", "StillActor"]


class Actor(Protocol):
    """Chooses actions for B lanes from what is seen and what is wanted.

    Attributes:
        blind: whether it does the same whatever is seen, so that nobody has to look.
    """

    blind: bool

    def __call__(self, seen: Tensor, aims: Tensor, generator: torch.Generator) -> Tensor:
        """Actions (B, A) inside the world's bounds, of sights (B, S) and aims."""
        ...


class LearnedActor:
    """A trained policy.

    Args:
        policy: which one.
        sampled: draw actions from it instead of taking the likeliest.
    """

    blind = False

    def __init__(self, policy: Policy, sampled: bool = False) -> None:
        self._policy, self._sampled = policy, sampled

    @torch.no_grad()
    def __call__(self, seen: Tensor, aims: Tensor, generator: torch.Generator) -> Tensor:
        """The policy's actions."""
        policy = self._policy
        log_probs = policy.log_probs(policy.view.features(seen, aims))
        index = log_probs.argmax(-1)
        if self._sampled:
            index = policy.drawn(log_probs, generator)
        return policy.bounded(policy.action.actions(index))


class RandomActor:
    """Uniform actions.

    Args:
        low: lower bounds (A,).
        high: upper bounds (A,).
    """

    blind = True

    def __init__(self, low: Tensor, high: Tensor) -> None:
        self._low, self._high = low.cpu(), high.cpu()

    def __call__(self, seen: Tensor, aims: Tensor, generator: torch.Generator) -> Tensor:
        """Uniform actions, whatever is seen."""
        share = torch.rand(len(seen), len(self._low), generator=generator)
        return (self._low + share * (self._high - self._low)).to(seen.device)


class StillActor:
    """No action: the middle of the bounds.

    Args:
        low: lower bounds (A,).
        high: upper bounds (A,).
    """

    blind = True

    def __init__(self, low: Tensor, high: Tensor) -> None:
        self._middle = (low + high) / 2

    def __call__(self, seen: Tensor, aims: Tensor, generator: torch.Generator) -> Tensor:
        """The same action always."""
        return self._middle.expand(len(seen), -1)


class ScriptedActor:
    """The script that recorded the data, acting on the positions that are seen."""

    blind = False

    def __call__(self, seen: Tensor, aims: Tensor, generator: torch.Generator) -> Tensor:
        """Get behind the object, then through it."""
        sight = Sight.from_vector(seen)
        object_m, place_m = target_of(sight, aims)
        lanes = zip(sight.pusher_m, object_m, place_m, strict=True)
        actions = [push_action(*(point.double().cpu().numpy() for point in lane)) for lane in lanes]
        return torch.from_numpy(np.stack(actions)).to(seen.device)


class NoisyActor:
    """Another actor, some of whose actions are replaced by random ones.

    Args:
        actor: the other.
        random: gives the random actions.
        share: chance that a lane's action is replaced.
    """

    blind = False

    def __init__(self, actor: Actor, random: RandomActor, share: float) -> None:
        self._actor, self._random, self._share = actor, random, share

    def __call__(self, seen: Tensor, aims: Tensor, generator: torch.Generator) -> Tensor:
        """Mostly the other's actions."""
        chosen = self._actor(seen, aims, generator)
        noise = self._random(seen, aims, generator)
        swap = torch.rand(len(seen), 1, generator=generator).to(seen.device) < self._share
        return torch.where(swap, noise, chosen)
