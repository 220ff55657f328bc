"""Sight and aim as what a network acts on: where things are relative to each other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.policy.aims import target_of
from agents.policy.sight import LOOKS, Sight
from envs.push_goals import GOAL_DIM
from envs.push_scene import COLOURS, TABLE_HALF_M

__all__ = ["FEATURES", "TableBody", "features_of"]

_K = len(COLOURS)
_OWN = 2 * 6 + 1 + 2 + LOOKS + 2
_OTHER = 5
FEATURES = _OWN + _K * _OTHER
# About the size of an object: distances of this order decide what to do next.
_NEAR_M = 0.05


def features_of(sight: Sight, aims: Tensor) -> Tensor:
    """Relative positions in the table's frame and along the way from object to place.

    Args:
        sight: B tables.
        aims: (B, AIM_DIM).

    Returns:
        (B, FEATURES), all of order one.
    """
    object_m, place_m = target_of(sight, aims)
    pusher_m = sight.pusher_m
    way = place_m - object_m
    distance = way.norm(dim=1, keepdim=True)
    along = way / (distance + 1e-3)
    offset = pusher_m - object_m
    behind = (offset * along).sum(1, keepdim=True)
    aside = offset[:, :1] * along[:, 1:] - offset[:, 1:] * along[:, :1]
    colour = aims[:, :_K]
    own = [
        offset / _NEAR_M,
        way / (2 * _NEAR_M),
        along,
        pusher_m / TABLE_HALF_M,
        object_m / TABLE_HALF_M,
        place_m / TABLE_HALF_M,
        distance / (2 * _NEAR_M),
        behind / _NEAR_M,
        aside / _NEAR_M,
        (colour[..., None] * sight.looks).sum(1),
        aims[:, 2 * _K : GOAL_DIM].sum(1, keepdim=True),
        (colour * sight.object_present).sum(1, keepdim=True),
    ]
    there = (sight.object_present * (1 - colour))[..., None]
    others = torch.cat(
        [
            there * (sight.objects_m - pusher_m[:, None]) / _NEAR_M,
            there * (sight.objects_m - object_m[:, None]) / _NEAR_M,
            there,
        ],
        -1,
    )
    return torch.cat([*own, others.flatten(1)], 1).clamp(-8, 8)


class TableBody(nn.Module):
    """Features to a hidden vector; the other objects are a set, whose order means nothing.

    Args:
        width: channels of the hidden vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.own = nn.Linear(_OWN, width)
        self.other = nn.Sequential(nn.Linear(_OTHER, 48), nn.SiLU(), nn.Linear(48, width))
        self.norm = nn.RMSNorm(width)
        self.deep = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, FEATURES) to (B, width)."""
        own, others = features[:, :_OWN], features[:, _OWN:].unflatten(1, (_K, _OTHER))
        told = (self.other(others) * others[..., -1:]).sum(1)
        hidden = F.silu(self.norm(self.own(own) + told))
        return hidden + self.deep(hidden)
