"""Latents to named positions: the geometric front of the policy.

A small convolutional net over the latent grid gives one heat map for the pusher, for the object of
each colour and for the zone of each colour. A position is the heat's mean over cells, each of
which points to where it thinks the thing is (soft-argmax with offsets; Luvizon et al. 2017), so it
is finer than a cell. The recorded state supervises it; a policy on top of positions needs far less
data than one on top of pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.policy.sight import LOOKS, Sight
from envs.push_scene import COLOURS, SHAPES
from multimodal.language.vocabulary import HALF_VIEW_M

__all__ = ["PushEyes"]

_K = len(COLOURS)
_THINGS = 1 + 2 * _K


class PushEyes(nn.Module):
    """Reads the Push table off latents.

    Args:
        channels: C of the latents.
        rows: rows of the latent grid.
        columns: columns of the latent grid.
        width: channels inside.
    """

    centres_m: Tensor

    def __init__(self, channels: int, rows: int, columns: int, width: int = 96) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.embed = nn.Linear(channels, width)
        self.place = nn.Parameter(torch.randn(rows * columns, width) * 0.1)
        self.near = nn.Conv2d(width, width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 1)
        self.far = nn.Conv2d(width, width, 3, padding=1)
        self.heat = nn.Linear(width, _THINGS)
        self.offset = nn.Linear(width, 2 * _THINGS)
        self.there = nn.Linear(width, 2 * _K)
        self.look = nn.Linear(width, LOOKS)
        # x grows to the right and y upwards, as in the simulator.
        x = ((torch.arange(columns) + 0.5) / columns * 2 - 1) * HALF_VIEW_M
        y = (1 - (torch.arange(rows) + 0.5) / rows * 2) * HALF_VIEW_M
        grid = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), -1)
        self.register_buffer("centres_m", grid.reshape(-1, 2), persistent=False)

    def maps(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, N, W) and heat logits (B, things, N) of latents (B, N, C)."""
        x = F.silu(self.embed(latents) + self.place)
        grid = x.transpose(1, 2).unflatten(2, (self.rows, self.columns))
        grid = grid + self.mix(F.silu(self.near(grid)))
        grid = grid + self.far(F.silu(grid))
        features = grid.flatten(2).transpose(1, 2)
        return features, self.heat(features).transpose(1, 2)

    def forward(self, latents: Tensor) -> tuple[Sight, Tensor]:
        """Read the table.

        Args:
            latents: (B, N, C).

        Returns:
            the sight, with logits in place of chances, and the heat's logits (B, things, N).
        """
        features, heat = self.maps(latents)
        share = heat.softmax(-1)
        points = self.centres_m[:, None] + 0.1 * self.offset(features).unflatten(-1, (_THINGS, 2))
        positions = torch.einsum("btn,bntd->btd", share, points)
        pooled = torch.einsum("btn,bnw->btw", share[:, 1:], features)
        weight = self.there.weight
        there = (pooled * weight).sum(-1) + self.there.bias
        looks = self.look(F.silu(pooled[:, :_K]))
        sight = Sight(
            pusher_m=positions[:, 0],
            objects_m=positions[:, 1 : 1 + _K],
            object_present=there[:, :_K],
            zones_m=positions[:, 1 + _K :],
            zone_present=there[:, _K:],
            looks=looks,
        )
        return sight, heat

    def read(self, latents: Tensor) -> Sight:
        """The table's sight, with chances between 0 and 1."""
        raw, _ = self(latents)
        shapes = raw.looks[..., : len(SHAPES)].softmax(-1)
        return Sight(
            raw.pusher_m,
            raw.objects_m,
            raw.object_present.sigmoid(),
            raw.zones_m,
            raw.zone_present.sigmoid(),
            torch.cat([shapes, raw.looks[..., len(SHAPES) :]], -1),
        )
