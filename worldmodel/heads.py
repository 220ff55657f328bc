"""Reward and termination read off a frame's latents, given the goal.

The world's tokens never see the goal: what one wants must not change what happens.
Reward is a distribution over symexp-spaced bins (two-hot), as in DreamerV3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["OutcomeHead", "symexp", "symlog", "two_hot"]


def symlog(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|)."""
    return torch.sign(x) * torch.log1p(x.abs())


def symexp(x: Tensor) -> Tensor:
    """The inverse of `symlog`."""
    return torch.sign(x) * torch.expm1(x.abs())


def two_hot(x: Tensor, bins: Tensor) -> Tensor:
    """Weights over the two bins around each value, zero elsewhere.

    Args:
        x: values (...).
        bins: increasing positions (K,).

    Returns:
        (..., K), summing to one; values outside the bins go to the outermost.
    """
    clipped = x.clamp(bins[0], bins[-1])
    above = torch.searchsorted(bins, clipped.contiguous()).clamp(1, len(bins) - 1)
    low, high = bins[above - 1], bins[above]
    share = (clipped - low) / (high - low)
    weights = torch.zeros(*x.shape, len(bins), device=x.device, dtype=x.dtype)
    weights.scatter_(-1, (above - 1).unsqueeze(-1), (1 - share).unsqueeze(-1))
    return weights.scatter_(-1, above.unsqueeze(-1), share.unsqueeze(-1))


class OutcomeHead(nn.Module):
    """An agent token that attends to a frame's latents and predicts reward and termination.

    Args:
        channels: C of the latents.
        tokens: N of the latents.
        goal_dim: length of the goal vector, 0 for none.
        width: of the head.
        bins: reward bins, spaced evenly in symlog between -reach and reach.
        reach: largest |symlog(reward)| that can be told.
    """

    bins: Tensor

    def __init__(
        self,
        channels: int,
        tokens: int,
        goal_dim: int,
        width: int = 96,
        bins: int = 65,
        reach: float = 3.0,
    ) -> None:
        super().__init__()
        self.heads = 4
        self.embed = nn.Linear(channels, width)
        self.position = nn.Parameter(torch.randn(tokens, width) * 0.1)
        self.mix = nn.Linear(width, width)
        self.goal = nn.Linear(goal_dim + 1, width)
        self.key = nn.Linear(width, 2 * width, bias=False)
        self.body = nn.Sequential(
            nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.reward = nn.Linear(width, bins)
        self.end = nn.Linear(width, 1)
        nn.init.zeros_(self.reward.weight)
        self.register_buffer("bins", torch.linspace(-reach, reach, bins))

    def forward(self, latents: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the outcome.

        Args:
            latents: (B, N, C).
            goal: (B, G).

        Returns:
            reward logits (B, bins) and termination logits (B,).
        """
        seen = F.silu(self.embed(latents) + self.position)
        one = torch.ones_like(goal[:, :1]) if goal.shape[1] else goal.new_ones(len(goal), 1)
        agent = self.goal(torch.cat([goal, one], -1))
        seen = F.silu(self.mix(seen) * (1 + agent[:, None]))
        key, value = self.key(seen).chunk(2, -1)
        query = agent.unflatten(-1, (self.heads, 1, -1))
        read = F.scaled_dot_product_attention(
            query,
            key.unflatten(-1, (self.heads, -1)).transpose(1, 2),
            value.unflatten(-1, (self.heads, -1)).transpose(1, 2),
        ).flatten(1)
        hidden = self.body(torch.cat([read, agent], -1))
        return self.reward(hidden), self.end(hidden)[:, 0]

    def expect(self, reward_logits: Tensor) -> Tensor:
        """Expected reward (B,) of reward logits (B, bins)."""
        return (reward_logits.softmax(-1) * symexp(self.bins)).sum(-1)

    def loss(self, logits: tuple[Tensor, Tensor], reward: Tensor, ended: Tensor) -> Tensor:
        """Cross-entropy of reward (two-hot) and of termination, summed: scalar.

        Args:
            logits: from `forward`.
            reward: (B,).
            ended: (B,), 0 or 1.
        """
        weights = two_hot(symlog(reward), self.bins)
        reward_loss = -(weights * logits[0].log_softmax(-1)).sum(-1).mean()
        end_loss = F.binary_cross_entropy_with_logits(logits[1], ended.to(logits[1].dtype))
        return reward_loss + end_loss
