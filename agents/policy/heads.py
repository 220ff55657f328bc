"""What the networks say: a distribution over actions, and a distribution over returns."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodel.heads import symexp, symlog, two_hot

__all__ = ["BINS", "ActionHead", "ReturnHead", "entropy", "kl_divergence", "log_prob"]

BINS: Final = 15
"""Values an action's number may take, evenly from -1 to 1."""


class ActionHead(nn.Module):
    """Each number of the action as a categorical over BINS values in [-1, 1].

    Bins keep two ways round an object apart where a Gaussian would aim between them, and their
    entropy and divergences are exact (Tang & Agrawal 2020).

    Args:
        width: channels of the hidden vector.
        action_dim: A.
    """

    values: Tensor

    def __init__(self, width: int, action_dim: int) -> None:
        super().__init__()
        self.action_dim = action_dim
        self.out = nn.Linear(width, action_dim * BINS)
        nn.init.zeros_(self.out.bias)
        nn.init.normal_(self.out.weight, std=0.01)
        self.register_buffer("values", torch.linspace(-1, 1, BINS), persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden (B, W) to log-probabilities (B, A, BINS)."""
        logits: Tensor = self.out(hidden).unflatten(-1, (self.action_dim, BINS)).float()
        return logits.log_softmax(-1)

    def actions(self, index: Tensor) -> Tensor:
        """Actions (B, A) in [-1, 1] of bin numbers (B, A)."""
        return self.values[index]

    def mean(self, log_probs: Tensor) -> Tensor:
        """Expected actions (B, A) of log-probabilities (B, A, BINS)."""
        return log_probs.exp() @ self.values

    def soft_targets(self, actions: Tensor) -> Tensor:
        """Two-hot weights (B, A, BINS) of actions (B, A) in [-1, 1]."""
        return two_hot(actions.contiguous(), self.values)


def log_prob(log_probs: Tensor, index: Tensor) -> Tensor:
    """Log-probability (B,) of bin numbers (B, A) under (B, A, BINS)."""
    return log_probs.gather(-1, index[..., None])[..., 0].sum(-1)


def entropy(log_probs: Tensor) -> Tensor:
    """Entropy (B,) in nats, summed over the action's numbers."""
    return -(log_probs.exp() * log_probs).sum((-1, -2))


def kl_divergence(log_probs: Tensor, other: Tensor) -> Tensor:
    """KL(policy || other), (B,) in nats."""
    return (log_probs.exp() * (log_probs - other)).sum((-1, -2))


class ReturnHead(nn.Module):
    """A return as a two-hot categorical over symexp-spaced bins (DreamerV3, arXiv 2301.04104).

    Args:
        width: channels of the hidden vector.
        bins: how many.
        reach: largest |symlog(return)| that can be told.
    """

    bins: Tensor

    def __init__(self, width: int, bins: int = 65, reach: float = 5.0) -> None:
        super().__init__()
        self.out = nn.Linear(width, bins)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("bins", torch.linspace(-reach, reach, bins), persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden (B, W) to logits (B, bins)."""
        return self.out(hidden).float()

    def expect(self, logits: Tensor) -> Tensor:
        """Expected return (B,)."""
        return (logits.softmax(-1) * symexp(self.bins)).sum(-1)

    def loss(self, logits: Tensor, returns: Tensor) -> Tensor:
        """Cross-entropy with two-hot targets, one for each sample (B,)."""
        return -(two_hot(symlog(returns), self.bins) * F.log_softmax(logits, -1)).sum(-1)
