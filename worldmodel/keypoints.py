"""A grid of tokens to a few points: where features are, finer than the grid.

A flattened grid lets a network learn every frame by heart; heat maps have to look at each place in
the same way. A point is the mean of its heat over cells, each of which points to where it thinks
the feature is (soft-argmax with offsets; Luvizon et al. 2017, Finn et al. 2016).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Keypoints"]

# Heat that is spread over all cells hardly hears of a feature that covers one of them.
_SHARPNESS = 8.0


class Keypoints(nn.Module):
    """Tokens (B, N, C) to `points` positions with a few numbers about each.

    Args:
        channels: C.
        rows: rows of the grid.
        columns: columns of it.
        width: channels inside.
        points: how many.
        about: numbers told of each point beside its position.
    """

    centres: Tensor

    def __init__(
        self,
        channels: int,
        rows: int,
        columns: int,
        width: int = 32,
        points: int = 12,
        about: int = 4,
    ) -> None:
        super().__init__()
        self.rows, self.columns, self.points = rows, columns, points
        self.size = points * (2 + about)
        self.embed = nn.Linear(channels, width)
        self.place = nn.Parameter(torch.randn(rows * columns, width) * 0.1)
        self.near = nn.Conv2d(width, width, 3, padding=1)
        self.far = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.RMSNorm(width)
        self.heat = nn.Linear(width, points)
        self.offset = nn.Linear(width, 2 * points)
        self.about = nn.Linear(width, about)
        x = (torch.arange(columns) + 0.5) / columns * 2 - 1
        y = (torch.arange(rows) + 0.5) / rows * 2 - 1
        grid = torch.stack(torch.broadcast_tensors(x[None], y[:, None]), -1)
        self.register_buffer("centres", grid.reshape(-1, 2), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, C) to (B, size)."""
        x = F.silu(self.embed(tokens) + self.place)
        grid = x.transpose(1, 2).unflatten(2, (self.rows, self.columns))
        grid = grid + self.near(F.silu(grid))
        grid = grid + self.far(F.silu(grid))
        features = self.norm(F.silu(grid.flatten(2).transpose(1, 2)))
        share = (_SHARPNESS * self.heat(features)).softmax(1)
        reach = 0.5 * self.offset(features).unflatten(-1, (self.points, 2))
        where = torch.einsum("bnk,bnkd->bkd", share, self.centres[:, None] + reach)
        what = torch.einsum("bnk,bna->bka", share, self.about(features))
        return torch.cat([where, what], -1).flatten(1)
