"""The movable things of a frame, one by one: silhouette, colour and place, each by itself.

The world model's reader of layers cuts out everything movable. What a thing looks like is then
given in parts that do not mix: a silhouette says nothing of a colour, nor a colour of a shape.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from multimodal.layers import LayerReader, Layers, corner_of

__all__ = ["SILHOUETTE_PX", "THING", "Things", "blurred", "shift_of", "things_of", "tinted"]

SILHOUETTE_PX: Final = 16
"""Side of the window that a silhouette is seen in; what lies outside of it is left out."""
_PARTS: Final = (SILHOUETTE_PX**2, 3, 2, 1, 1)
THING: Final = sum(_PARTS)
"""Numbers that describe a thing."""
_TINTS: Final = 8
# Colours at least so far from each other, of 0 to 1 in each part, are not taken for one another.
_UNLIKE: Final = 0.35
_BLOT_PX: Final = 5.0


class Things(NamedTuple):
    """The parts of K things of each of B frames.

    Attributes:
        silhouette: opacity (B, K, S, S) in [0, 1].
        colour: mean colour under the silhouette (B, K, 3) in [0, 1].
        place: column and row of its centre (B, K, 2), -1 to 1 from edge to edge.
        driven: whether the actions themselves move it, 0 or 1, (B, K, 1).
        present: whether there is such a thing, 0 or 1, (B, K, 1).
    """

    silhouette: Tensor
    colour: Tensor
    place: Tensor
    driven: Tensor
    present: Tensor

    @classmethod
    def of(cls, things_BKT: Tensor) -> Things:
        """The parts of things as `things_of` gives them."""
        silhouette, *others = things_BKT.split(_PARTS, -1)
        return cls(silhouette.unflatten(-1, (SILHOUETTE_PX, SILHOUETTE_PX)), *others)


def tinted(things_XT: Tensor, barred_XM3: Tensor) -> Tensor:
    """Things in colours that have no name, to learn shapes from without what colours say of them.

    In training every colour lacks a shape, and a model that knows a thing's colour can tell its
    shape from less than the shape.

    Args:
        things_XT: as `things_of` gives them.
        barred_XM3: colours that each thing must not come near, such as those that its shape is
            held out in; (X, M, 3).
    """
    found = Things.of(things_XT)
    colour = torch.rand(_TINTS, *found.colour.shape, device=things_XT.device)
    apart = (colour[:, :, None] - barred_XM3).norm(dim=-1).amin(-1)
    # Of some colours that were drawn the first that is far enough, else the farthest.
    order = torch.arange(_TINTS, device=apart.device)[:, None] / _TINTS
    chosen = torch.where(apart > _UNLIKE, 2.0 - order, apart)
    best = chosen.argmax(0)[None, :, None].expand(1, -1, 3)
    return torch.cat([found.silhouette.flatten(-2), colour.gather(0, best)[0], *found[2:]], -1)


def blurred(things_XT: Tensor) -> Tensor:
    """Things without their outlines, to learn colours from without what shapes say of them."""
    found = Things.of(things_XT)
    steps = torch.arange(SILHOUETTE_PX, device=things_XT.device) + 0.5 - SILHOUETTE_PX / 2
    away = (steps[:, None].square() + steps.square()).sqrt()
    blot = torch.sigmoid(_BLOT_PX - away).expand_as(found.silhouette)
    return torch.cat([blot.flatten(-2), *found[1:]], -1)


def shift_of(now: Things, before: Things) -> Tensor:
    """How far each thing went since an earlier frame, by its colour, which no other thing has.

    Args:
        now: things of B frames.
        before: things of the frames to compare with.

    Returns:
        float (B, K, 2), in the units of `place`; zeros where there was nothing before.
    """
    apart = (now.colour[:, :, None] - before.colour[:, None]).square().sum(-1)
    apart = 4 * apart + (now.driven - before.driven.transpose(1, 2)).square()
    apart = apart + 0.05 * (now.place[:, :, None] - before.place[:, None]).square().sum(-1)
    there = (now.present * before.present.transpose(1, 2)) > 0.5
    best = apart.masked_fill(~there, torch.inf).argmin(-1)
    came_from = before.place.gather(1, best[..., None].expand(-1, -1, 2))
    return (now.place - came_from) * there.any(-1, keepdim=True)


@torch.no_grad()
def things_of(reader: LayerReader, frames: Tensor) -> Tensor:
    """What moves or can be moved in frames.

    Args:
        reader: the world model's reader of layers.
        frames: uint8 (B, H, W, 3).

    Returns:
        float32 (B, K, THING), zeros in slots that are empty; `Things.of` names the parts.

    Raises:
        FrameError: frames of another shape or type.
    """
    layers = reader.read(frames)
    opacity = _window(layers)
    alpha = layers.sprites[:, :, 3].float()
    mass = alpha.sum((2, 3)).clamp(min=1e-3)[..., None]
    colour = layers.sprites[:, :, :3].float().sum((3, 4)) / mass
    size = torch.tensor([frames.shape[2], frames.shape[1]], device=alpha.device)
    place = layers.pose[..., :2].float() / size * 2 - 1
    flags = torch.stack([layers.driven, layers.present], -1).float()
    things = torch.cat([opacity.flatten(2), colour, place, flags], -1)
    return things * layers.present[..., None]


def _window(layers: Layers) -> Tensor:
    """The middle of each sprite's opacity with the body's centre in its own, (B, K, S, S)."""
    alpha = layers.sprites[:, :, 3].float()
    side, centre = alpha.shape[-1], layers.pose[..., :2].float()
    # Sampled at steps of a pixel around the centre, so that it does not shake with its place.
    steps = torch.arange(SILHOUETTE_PX, device=alpha.device) + 0.5 - SILHOUETTE_PX / 2
    start = centre - corner_of(centre, side)
    columns = start[..., 0, None, None] + steps[None, :]
    rows = start[..., 1, None, None] + steps[:, None]
    grid = torch.stack(torch.broadcast_tensors(columns, rows), -1) * 2 / side - 1
    sampled = F.grid_sample(alpha.flatten(0, 1)[:, None], grid.flatten(0, 1), align_corners=False)
    return sampled[:, 0].unflatten(0, alpha.shape[:2])
