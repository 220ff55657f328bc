"""Losses that pull alike: each scaled by how strongly its gradient has lately pulled."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["GradientBalance"]


class GradientBalance(nn.Module):
    """Weights by a running mean of gradient norms (EnCodec's balancer, arXiv 2210.13438).

    The gradient is taken at a tensor that all losses share, such as the last hidden state, so that
    it costs one pass through the heads and not through the model. A loss whose gradient is small,
    because its tokens are few or its scale is, gets the pull its share says all the same.

    Args:
        names: the losses.
        shares: of the pull; equal where not given.
        decay: of the running mean.
    """

    shares: Tensor
    norms: Tensor
    seen: Tensor

    def __init__(
        self, names: tuple[str, ...], shares: Mapping[str, float] | None = None, decay: float = 0.98
    ) -> None:
        super().__init__()
        self.names, self.decay = names, decay
        given = torch.tensor([1.0 if shares is None else shares[name] for name in names])
        self.register_buffer("shares", given / given.sum(), persistent=False)
        # Part of the state: a resumed run weighs as one that was never stopped.
        self.register_buffer("norms", torch.zeros(len(names)))
        self.register_buffer("seen", torch.zeros(len(names)))

    def forward(
        self, losses: Mapping[str, Tensor], shared: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and the weights by name.

        Args:
            losses: scalars that are functions of `shared`; one may be missing in a batch.
            shared: what the gradients are taken at.
        """
        if torch.is_grad_enabled() and shared.requires_grad:
            self._measure(losses, shared)
        present = [self.names.index(name) for name in losses]
        # Unbiased from the first measurement on, as Adam's means are.
        means = self.norms / (1 - self.decay**self.seen).clamp(min=1e-8)
        share = self.shares[present] / self.shares[present].sum()
        pull = means[present].clamp(min=1e-12)
        weights = share / pull * (share * pull).sum() / (share.square().sum())
        weights = torch.where(self.seen[present] > 0, weights, torch.ones_like(weights)).detach()
        total = sum(
            (w * loss for w, loss in zip(weights, losses.values(), strict=True)), 0 * shared.sum()
        )
        return total, {f"weight_{name}": w for name, w in zip(losses, weights, strict=True)}

    @torch.no_grad()
    def _measure(self, losses: Mapping[str, Tensor], shared: Tensor) -> None:
        for name, loss in losses.items():
            with torch.enable_grad():
                (gradient,) = torch.autograd.grad(loss, shared, retain_graph=True)
            k = self.names.index(name)
            self.norms[k] = self.decay * self.norms[k] + (1 - self.decay) * gradient.float().norm()
            self.seen[k] += 1
