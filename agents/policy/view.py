"""What a world looks like to a policy: a picture's codes in, named numbers and outcomes out."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from agents.policy.aims import aims_of, outcome_of
from agents.policy.eyes import PushEyes
from agents.policy.features import FEATURES, TableBody, features_of
from agents.policy.layer_eyes import LayerEyes
from agents.policy.sight import Sight
from multimodal.layers import Layers

__all__ = ["PushView", "View"]


class View(Protocol):
    """The part of a policy that knows its world."""

    def perceive(self, shown: Any) -> Tensor:
        """What is seen, as a vector (B, S), of what its eyes read."""

    def aims(self, goals: Tensor) -> Tensor:
        """Goals (B, G) checked, in the form that the rest takes."""

    def features(self, seen: Tensor, aims: Tensor) -> Tensor:
        """What actor and critic act on (B, F)."""

    def outcome(self, seen: Tensor, aims: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Reward (B,) and end bool (B,) of having come to `seen` by `actions` (B, A)."""

    def body(self, width: int) -> nn.Module:
        """A network from features (B, F) to (B, width)."""


class PushView(nn.Module):
    """The Push table: positions by colour, rewards by the task's own definition on what is seen.

    Args:
        eyes: read latents, or layers.
    """

    feature_dim = FEATURES

    def __init__(self, eyes: PushEyes | LayerEyes) -> None:
        super().__init__()
        self.eyes = eyes

    def perceive(self, shown: Tensor | Layers) -> Tensor:
        """The table's sight as a vector, of latents (B, N, C) or of layers."""
        if isinstance(self.eyes, LayerEyes):
            assert isinstance(shown, Layers)
            return self.eyes.read(shown).vector()
        assert isinstance(shown, Tensor)
        with torch.autocast(shown.device.type, enabled=False):
            return self.eyes.read(shown.float()).vector()

    def aims(self, goals: Tensor) -> Tensor:
        """Aims of goal vectors; aims pass unchanged."""
        return aims_of(goals)

    def features(self, seen: Tensor, aims: Tensor) -> Tensor:
        """Where things are relative to each other."""
        return features_of(Sight.from_vector(seen), aims)

    def outcome(self, seen: Tensor, aims: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Dense reward and success of the Push task, on the positions that are seen."""
        return outcome_of(Sight.from_vector(seen), aims)

    def body(self, width: int) -> nn.Module:
        """A network on the table's features."""
        return TableBody(width)
