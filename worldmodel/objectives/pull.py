"""Losses that teach one trunk alike: what each sends back into it is brought to its share.

Weighing the losses themselves would weigh each head's own learning as well: a head that has nearly
learnt its task would be weighed up until its own gradient drowns everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

__all__ = ["GradientPull"]


class GradientPull(nn.Module):
    """Scales gradients at a shared tensor by running means of their norms (arXiv 2210.13438).

    The first loss sends back what it is; of the others each sends back so much that norms are as
    the shares say. What a loss teaches its own head stays as it is.

    Args:
        shares: of the pull, by loss; the first is what the others are measured by.
        decay: of the running means.
    """

    norms: Tensor
    seen: Tensor

    def __init__(self, shares: Mapping[str, float], decay: float = 0.98) -> None:
        super().__init__()
        self.names, self.decay = tuple(shares), decay
        self.shares = tuple(shares.values())
        # Part of the state: a resumed run scales as one that was never stopped.
        self.register_buffer("norms", torch.zeros(len(shares)))
        self.register_buffer("seen", torch.zeros(len(shares)))

    def forward(self, shared: Tensor, name: str) -> Tensor:
        """The shared tensor as it is, whose gradient comes back scaled.

        Args:
            shared: any tensor that the loss `name` is a function of.
            name: of the loss.
        """
        pulled: Tensor = _Scaled.apply(shared, self, self.names.index(name))
        return pulled

    @property
    def factors(self) -> dict[str, float]:
        """By what each gradient is multiplied now; 1 before it was ever measured."""
        # Unbiased from the first measurement on, as Adam's means are.
        means = (self.norms / (1 - self.decay**self.seen).clamp(min=1e-8)).tolist()
        found = {}
        for name, share, mean in zip(self.names, self.shares, means, strict=True):
            known = mean > 0 and means[0] > 0
            found[name] = share / self.shares[0] * means[0] / mean if known else 1.0
        return found

    @torch.no_grad()
    def back(self, gradient: Tensor, number: int) -> Tensor:
        """Measure a gradient and return it scaled."""
        norm = gradient.float().norm()
        self.norms[number] = self.decay * self.norms[number] + (1 - self.decay) * norm
        self.seen[number] += 1
        return gradient * self.factors[self.names[number]]


class _Scaled(Function):
    @staticmethod
    def forward(ctx: Any, shared: Tensor, pull: GradientPull, number: int) -> Tensor:
        ctx.pull, ctx.number = pull, number
        return shared.view_as(shared)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        return ctx.pull.back(gradient, ctx.number), None, None
