"""Layers to named positions: the front of a policy over the poses of bodies.

Where bodies are is what the layers say already. What is left to read is which of them is which:
the colour, shape and turn of each sprite, and the zones on the plate. That is read once; after
that a rollout carries the poses and no picture is drawn or looked at any more.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from agents.policy.sight import LOOKS, Sight
from envs.layer_stage import metres_of
from envs.push_scene import COLOURS, SHAPES, ZONE_RADIUS_M
from multimodal.language.vocabulary import HALF_VIEW_M
from multimodal.layers import Layers

__all__ = ["LayerEyes", "Tied", "ZoneMaps", "turned"]

_K = len(COLOURS)
_KINDS = len(SHAPES)
# Side of a cell of the plate, which says what it is of.
_CELL = 2
# Of a zone at least about so much shows where there is one.
_SHARE, _SHARPNESS = 0.3, 12.0


class ZoneMaps(NamedTuple):
    """What the plate says; N cells.

    Attributes:
        kind: logits of each colour's zone, and of none (B, K + 1, N).
        point_m: where each cell thinks that the zone's centre is (B, N, 2).
        place_m: the centre of the zone of each colour (B, K, 2).
        there: logit that there is one (B, K).
    """

    kind: Tensor
    point_m: Tensor
    place_m: Tensor
    there: Tensor


class Tied(NamedTuple):
    """What is seen in layers, and which slot is what.

    Attributes:
        sight: the table.
        slots: the slot of each colour's object; means nothing where absent, int64 (B, K).
        pusher: the driven body's slot, int64 (B,).
    """

    sight: Sight
    slots: Tensor
    pusher: Tensor


class LayerEyes(nn.Module):
    """Reads the Push table off the layers of a frame.

    Args:
        size_px: side of the frame.
        sprite_px: side of a sprite's window.
        width: channels inside.
    """

    centres_m: Tensor

    def __init__(self, size_px: int, sprite_px: int, width: int = 48) -> None:
        super().__init__()
        self.size_px = size_px
        side = -(-sprite_px // 8)
        self.sprite = nn.Sequential(
            nn.Conv2d(4, width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(width * side**2, 2 * width),
            nn.SiLU(),
            nn.Linear(2 * width, _K + LOOKS),
        )
        self.plate = nn.Sequential(
            nn.PixelUnshuffle(_CELL),
            nn.Conv2d(3 * _CELL**2, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, _K + 3, 1),
        )
        count = size_px // _CELL
        across = ((torch.arange(count) + 0.5) / count * 2 - 1) * HALF_VIEW_M
        grid = torch.stack(torch.broadcast_tensors(across[None, :], -across[:, None]), -1)
        self.register_buffer("centres_m", grid.reshape(-1, 2), persistent=False)
        self._cells = torch.pi * (ZONE_RADIUS_M / (2 * HALF_VIEW_M) * count) ** 2

    def sprites(self, sprites: Tensor) -> tuple[Tensor, Tensor]:
        """What sprites (..., 4, S, S) show: logits of colours (..., K), and looks (..., LOOKS)."""
        said = self.sprite(sprites.flatten(0, -4)).unflatten(0, sprites.shape[:-3])
        return said[..., :_K], said[..., _K:]

    def zone_maps(self, plate: Tensor) -> ZoneMaps:
        """Where the zones are on plates (B, 3, H, W): cells of a zone vote for its centre."""
        kind, vote = self.plate(4 * plate - 2).flatten(2).split((_K + 1, 2), 1)
        point_m = self.centres_m + ZONE_RADIUS_M * vote.transpose(1, 2)
        share = kind.softmax(1)[:, :_K]
        mass = share.sum(-1)
        place_m = share @ point_m / mass[..., None].clamp(min=1e-3)
        there = _SHARPNESS * (mass / self._cells - _SHARE)
        return ZoneMaps(kind, point_m, place_m, there)

    def tied(self, layers: Layers) -> Tied:
        """What layers show, and which slot is which thing."""
        colours, looks = self.sprites(layers.sprites)
        zones = self.zone_maps(layers.plate)
        free = layers.present & ~layers.driven
        chance = colours.softmax(-1) * free[..., None]
        present, slots = chance.max(1)
        driven = (layers.driven & layers.present).float()
        pusher = driven.argmax(1)
        place_m = metres_of(layers.pose[..., :2], layers.driven, self.size_px)
        kinds = looks[..., :_KINDS].softmax(-1)
        shown = torch.cat([kinds, looks[..., _KINDS:]], -1)
        sight = Sight(
            pusher_m=_taken(place_m, pusher[:, None])[:, 0],
            objects_m=_taken(place_m, slots),
            object_present=present,
            zones_m=zones.place_m,
            zone_present=zones.there.sigmoid(),
            looks=_taken(shown, slots),
        )
        return Tied(sight, slots, pusher)

    def read(self, layers: Layers) -> Sight:
        """The table's sight."""
        return self.tied(layers).sight


def _taken(values: Tensor, slots: Tensor) -> Tensor:
    """Rows (B, J, D) of slots (B, J) among values (B, K, D)."""
    return values.gather(1, slots[..., None].expand(-1, -1, values.shape[-1]))


def turned(looks: Tensor, turn: Tensor) -> Tensor:
    """Looks (..., LOOKS) of things that have turned by so many radians (...) since."""
    rest, c3, s3, c4, s4 = looks.split((looks.shape[-1] - 4, 1, 1, 1, 1), -1)
    parts = [rest]
    for times, cosine, sine in ((3, c3, s3), (4, c4, s4)):
        angle = (times * turn)[..., None]
        parts.append(angle.cos() * cosine - angle.sin() * sine)
        parts.append(angle.sin() * cosine + angle.cos() * sine)
    return torch.cat(parts, -1)
