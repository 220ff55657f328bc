"""A policy over a compact world's tokens: actor and critic of `agents.policy`, without goals."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from agents.policy.actor_critic import ActorCritic
from multimodal.errors import CheckpointError
from multimodal.trunk import require_trunk, trunk_fingerprint
from worldmodel.compact import DEED, TOKENS, CompactDynamics
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["CompactView", "TaskPolicy"]

# Rollouts that leave everything recorded behind must not send the networks there as well.
_FARTHEST = 6.0


class _Body(nn.Module):
    """Features to a hidden vector."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(features, width), nn.RMSNorm(width), nn.SiLU())
        self.deep = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, F) to (B, width)."""
        hidden = self.first(features)
        return hidden + self.deep(hidden)


class CompactView(nn.Module):
    """Pose, motion and the state read off them, each of order one.

    Args:
        channels: E, numbers in a token.
        state_dim: numbers of the state that the world reads off; 0 for none.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, channels: int, state_dim: int) -> None:
        super().__init__()
        self.channels = channels
        self.feature_dim = DEED * channels + state_dim
        self.register_buffer("mean", torch.zeros(self.feature_dim))
        self.register_buffer("scale", torch.ones(self.feature_dim))
        # In a tuple, past torch's bookkeeping: the dynamics is the world model's.
        self._dynamics: tuple[CompactDynamics, ...] = ()

    def attach(self, dynamics: CompactDynamics) -> None:
        """Give it the dynamics that tells state and reward."""
        self._dynamics = (dynamics,)

    @property
    def dynamics(self) -> CompactDynamics:
        """The world's.

        Raises:
            CheckpointError: none was given.
        """
        if not self._dynamics:
            raise CheckpointError("This policy acts through its world: call policy.attach(world).")
        return self._dynamics[0]

    def fit(self, tokens: Tensor) -> None:
        """Take mean and spread of tokens (F, 3, E) that were recorded."""
        raw = self._raw(tokens.flatten(1))
        self.mean.copy_(raw.mean(0))
        self.scale.copy_(raw.std(0).clamp(min=1e-4))

    def _raw(self, seen: Tensor) -> Tensor:
        tokens = seen[:, : DEED * self.channels]
        readout = self.dynamics.readout
        return tokens if readout is None else torch.cat([tokens, readout(tokens)], 1)

    def perceive(self, shown: Tensor) -> Tensor:
        """Latents (B, 3, E) as vectors (B, 3E)."""
        return shown.flatten(1)

    def aims(self, goals: Tensor) -> Tensor:
        """Nothing is aimed at: (B, 0)."""
        return goals[:, :0]

    def features(self, seen: Tensor, aims: Tensor) -> Tensor:
        """What actor and critic act on (B, F)."""
        return ((self._raw(seen) - self.mean) / self.scale).clamp(-_FARTHEST, _FARTHEST)

    def outcome(self, seen: Tensor, aims: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Reward (B,) and end bool (B,) as the world model tells them."""
        head = self.dynamics.outcome
        rewards, ends = head(seen.unflatten(1, (TOKENS, self.channels)), aims)
        return head.expect(rewards), ends > 0

    def body(self, width: int) -> nn.Module:
        """A network from features (B, F) to (B, width)."""
        return _Body(self.feature_dim, width)


class TaskPolicy(ActorCritic):
    """Actor and critic for a world without goals.

    Args:
        world: id of the environment.
        trunk: fingerprint of the encoder whose latents it reads.
        action_low: lower bounds of the action (A,).
        action_high: upper bounds (A,).
        channels: E.
        state_dim: numbers of the state that is read off.
        width: channels of actor and critic.
    """

    KIND = "task-policy"
    view: CompactView

    @register_to_config
    def __init__(
        self,
        world: str = "",
        trunk: str = "",
        action_low: Sequence[float] = (-1.0,),
        action_high: Sequence[float] = (1.0,),
        channels: int = 32,
        state_dim: int = 0,
        width: int = 128,
    ) -> None:
        super().__init__()
        view = CompactView(channels, state_dim)
        self._compose(view, width, list(action_low), list(action_high))

    @torch.no_grad()
    def act(self, latents: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What to do.

        Args:
            latents: (B, 3, E), of a rollout of its world.
            generator: draws actions; None takes their mean.

        Returns:
            actions float32 (B, A) inside the world's bounds.
        """
        seen = self.view.perceive(latents)
        log_probs = self.log_probs(self.view.features(seen, seen))
        if generator is None:
            return self.bounded(self.action.mean(log_probs))
        return self.bounded(self.action.actions(self.drawn(log_probs, generator)))

    def attach(self, world: WorldModelPipeline) -> None:
        """Give it the world that it acts through.

        Raises:
            CheckpointError: it was trained in another, or that is no compact world.
        """
        if not isinstance(world.dynamics, CompactDynamics):
            raise CheckpointError(
                "This policy acts in compact worlds, as `worldmodel policy train experiment=...` "
                f"makes them, and was given one with a {type(world.dynamics).__name__}."
            )
        require_trunk(world.tokenizer, self.config["trunk"], "This policy")
        self.view.attach(world.dynamics)

    @classmethod
    def of(cls, world: WorldModelPipeline, width: int) -> Self:
        """An untrained policy for a compact world."""
        config = world.dynamics.config
        policy = cls(
            world=str(world.config.world),
            trunk=trunk_fingerprint(world.tokenizer),
            action_low=[float(x) for x in world.action_low],
            action_high=[float(x) for x in world.action_high],
            channels=config.channels,
            state_dim=config.state_dim,
            width=width,
        )
        policy.attach(world)
        return policy

    @classmethod
    def from_pretrained(
        cls,
        name_or_dir: str | os.PathLike[str],
        world: WorldModelPipeline | None = None,
        **options: Any,
    ) -> Self:
        """Load a policy by its folder, and give it its world.

        Raises:
            CheckpointError: missing, torn, altered, or of another world.
        """
        policy = cls._opened(name_or_dir, **options)
        if world is not None:
            policy.attach(world)
        return policy
