"""Actor and critic as weights that load and save alike, whatever world they look at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor

from agents.policy.heads import ActionHead, ReturnHead
from agents.policy.view import View
from worldmodel.checkpoint import resolve, verify, write_manifest

__all__ = ["ActorCritic"]


class ActorCritic(ModelMixin, ConfigMixin):
    """What policies share: two networks over a view's features, and how they are kept.

    A kind of policy names its checkpoints by `KIND` and calls `_compose` from its `__init__`.
    """

    KIND: ClassVar[str]
    low: Tensor
    high: Tensor
    view: View

    def _compose(self, view: View, width: int, low: list[float], high: list[float]) -> None:
        """Make the networks.

        Args:
            view: says what is seen, and how wide its features are.
            width: channels of actor and critic.
            low: lower bounds of the action (A,).
            high: upper bounds (A,).
        """
        self.view = view
        self.actor = view.body(width)
        self.action = ActionHead(width, len(low))
        self.critic = view.body(width)
        self.value = ReturnHead(width)
        self.register_buffer("low", torch.tensor(low), persistent=False)
        self.register_buffer("high", torch.tensor(high), persistent=False)

    def log_probs(self, features: Tensor) -> Tensor:
        """Log-probabilities (B, A, BINS) of actions, of features (B, F)."""
        return self.action(self.actor(features))

    def values(self, features: Tensor) -> Tensor:
        """Logits (B, bins) of the return, of features (B, F)."""
        return self.value(self.critic(features))

    def drawn(self, log_probs: Tensor, generator: torch.Generator) -> Tensor:
        """Bins (B, A) of actions drawn from log-probabilities (B, A, BINS)."""
        flat = log_probs.exp().flatten(0, 1)
        return torch.multinomial(flat, 1, generator=generator).view(log_probs.shape[:2])

    def scaled(self, actions: Tensor) -> Tensor:
        """Actions (B, A) from [-1, 1] to the world's bounds."""
        return self.low + (actions + 1) / 2 * (self.high - self.low)

    def bounded(self, actions: Tensor) -> Tensor:
        """Actions (B, A) from [-1, 1] to the world's bounds, and never past them."""
        return self.scaled(actions).clamp(self.low, self.high)

    def unscaled(self, actions: Tensor) -> Tensor:
        """Actions (B, A) from the world's bounds to [-1, 1]."""
        return (actions - self.low) / (self.high - self.low) * 2 - 1

    @classmethod
    def _opened(cls, name_or_dir: str | os.PathLike[str], **options: Any) -> Self:
        """Weights by a shipped name or a folder, checked, ready to act.

        Raises:
            CheckpointError: missing, torn, altered, or of another kind.
        """
        folder = resolve(name_or_dir)
        verify(folder, cls.KIND)
        options = {"low_cpu_mem_usage": False, "use_safetensors": True, **options}
        policy = super().from_pretrained(str(folder), **options)
        assert isinstance(policy, cls)
        return policy.eval().requires_grad_(False)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **options: Any) -> None:
        """Write the policy as safetensors and JSON, with a SHA-256 manifest."""
        super().save_pretrained(str(save_directory), safe_serialization=True, **options)
        write_manifest(Path(save_directory), self.KIND)
