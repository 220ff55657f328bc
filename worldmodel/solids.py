"""Bodies that cannot lie in the same place: sprites whose outlines overlap are moved apart.

A motion that was learnt from examples lets bodies sink into each other a little in every step of a
long push. What it may get wrong is where a body goes, not that two of them share a place, so the
overlap is taken out after every step, as position-based dynamics does (Müller et al. 2007).
Outlines are read off the sprites themselves: how far each reaches in every direction.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from multimodal.layers import corner_of

__all__ = ["Outlines", "at_edge", "keep_apart", "overlaps_px", "reaches", "rims"]

_DIRECTIONS = 32
_SECTOR = 2 * math.pi / _DIRECTIONS
_STEP_PX = 0.5
_PASSES = 4
# Bodies that are further apart than this do not meet while others make room.
_NEAR_PX = 2.0
# Less overlap than this is none.
_LEAST_PX = 0.01
# A way out that leads so little away from the other's centre, as a cosine, leads elsewhere.
_ASTRAY = 0.2


class Outlines(NamedTuple):
    """What is known of the bodies' shapes, and where they may lie; K slots.

    Attributes:
        reach: from `reaches` (B, K, D).
        driven: whether the actions themselves move it, bool (B, K).
        present: bool (B, K).
        overlap_px: outlines that touch are read as overlapping by so much.
        edge_px: free bodies keep this far from the frame's edges.
        size_px: side of the frame.
    """

    reach: Tensor
    driven: Tensor
    present: Tensor
    overlap_px: float
    edge_px: float
    size_px: float


def reaches(sprites: Tensor, cut: Tensor) -> Tensor:
    """How far each sprite reaches from its centre in each direction.

    Args:
        sprites: colour times opacity, and opacity (B, K, 4, S, S).
        cut: column and row at which each was cut out (B, K, 2).

    Returns:
        Pixels (B, K, D); directions go from right over down, in the frame it was cut out in.
    """
    side = sprites.shape[-1]
    ray = torch.arange(_STEP_PX / 2, side / 2, _STEP_PX, device=sprites.device)
    way = rims(sprites.new_ones(_DIRECTIONS), sprites.new_zeros(()))[:, None] * ray[:, None]
    start = cut - corner_of(cut, side)
    grid = (start[:, :, None, None] + way) * 2 / side - 1
    opacity = sprites[:, :, 3:].flatten(0, 1)
    seen = F.grid_sample(opacity, grid.flatten(0, 1).to(opacity), align_corners=False)[:, 0]
    return (seen.sum(-1) * _STEP_PX).unflatten(0, sprites.shape[:2])


@torch.no_grad()
def keep_apart(outlines: Outlines, pose: Tensor) -> Tensor:
    """Poses at which no sprite lies in another one's place.

    What is driven stays where it is, unless what it pushes is held by an edge of the frame; of two
    free bodies each gives way by half.

    Args:
        outlines: of the bodies.
        pose: where each would be, and how far it was turned since its outline was read (B, K, 3).

    Returns:
        Poses (B, K, 3); those of bodies that touch nothing are the same to the last bit.
    """
    free = outlines.present & ~outlines.driven
    place, turned = pose[..., :2], pose[..., 2]
    lowest, highest = _bounds(outlines, turned)
    place = torch.where(free[..., None], place.clamp(lowest, highest), place)
    pairs = _near_pairs(outlines, place, turned)
    if not len(pairs.lanes):
        return torch.cat([place, pose[..., 2:]], -1)
    lanes, ones, others = pairs.lanes, pairs.ones, pairs.others
    # The share of the way that the first of a pair goes.
    mine, theirs = free[lanes, ones].to(pose), free[lanes, others].to(pose)
    gives = mine / (mine + theirs).clamp(min=1)
    for number in range(_PASSES + 1):
        if number == _PASSES:
            # Of two that are driven neither gives way.
            gives = (1 - gives) * ((mine + theirs) > 0)
        depth, normal = _contacts(pairs, place)
        depth = depth - outlines.overlap_px
        deep = depth > _LEAST_PX
        if not deep.any():
            break
        way = normal * (depth * deep * gives)[:, None]
        moved = place.new_zeros(*outlines.present.shape, outlines.present.shape[1], 2)
        moved[lanes, ones, others] = way
        place = place + moved.sum(2)
        if number < _PASSES:
            place = torch.where(free[..., None], place.clamp(lowest, highest), place)
    return torch.cat([place, pose[..., 2:]], -1)


@torch.no_grad()
def at_edge(outlines: Outlines, pose: Tensor, within_px: float) -> Tensor:
    """Which free bodies lie so near an edge of the frame that they lean on it: bool (B, K)."""
    lowest, highest = _bounds(outlines, pose[..., 2])
    place = pose[..., :2]
    leans = ((place < lowest + within_px) | (place > highest - within_px)).any(-1)
    return leans & outlines.present & ~outlines.driven


@torch.no_grad()
def overlaps_px(outlines: Outlines, pose: Tensor) -> Tensor:
    """How deep outlines of near pairs of bodies overlap, negative apart, in pixels (pairs,)."""
    pairs = _near_pairs(outlines, pose[..., :2], pose[..., 2])
    return _contacts(pairs, pose[..., :2])[0][: len(pairs.lanes) // 2]


class _Pairs(NamedTuple):
    """Pairs of bodies that may touch, each from both sides: the second half mirrors the first.

    Attributes:
        lanes: of each pair, int64 (N,).
        ones: slot of its first body (N,).
        others: slot of its second one (N,).
        own: how far the first reaches (N, D).
        turn: how far the first is turned (N, 1).
        rim: the second's outline around its own place (N, D, 2).
        other: how far the second reaches (N, D).
        other_turn: how far it is turned (N, 1).
    """

    lanes: Tensor
    ones: Tensor
    others: Tensor
    own: Tensor
    turn: Tensor
    rim: Tensor
    other: Tensor
    other_turn: Tensor


def _near_pairs(outlines: Outlines, place: Tensor, turned: Tensor) -> _Pairs:
    farthest = outlines.reach.amax(-1)
    gap = (place[:, :, None] - place[:, None]).norm(dim=-1)
    near = gap < farthest[:, :, None] + farthest[:, None] + _NEAR_PX
    near = near & outlines.present[:, :, None] & outlines.present[:, None]
    lane, one, other = near.triu(1).nonzero().unbind(1)
    lanes, ones, others = lane.repeat(2), torch.cat([one, other]), torch.cat([other, one])
    reach, turn = outlines.reach[lanes, others], turned[lanes, others]
    own, own_turn = outlines.reach[lanes, ones], turned[lanes, ones, None]
    return _Pairs(lanes, ones, others, own, own_turn, rims(reach, turn), reach, turn[:, None])


def _contacts(pairs: _Pairs, place: Tensor) -> tuple[Tensor, Tensor]:
    """How deep the bodies of each pair overlap, and the first one's way out.

    Returns:
        Pixels (N,), negative apart, and unit vectors (N, 2).
    """
    apart = place[pairs.lanes, pairs.others] - place[pairs.lanes, pairs.ones]
    seen = pairs.rim + apart[:, None]
    across = seen.norm(dim=-1)
    sector = ((torch.atan2(seen[..., 1], seen[..., 0]) + pairs.turn) / _SECTOR) % _DIRECTIONS
    low = sector.floor()
    below = pairs.own.gather(1, low.long() % _DIRECTIONS)
    above = pairs.own.gather(1, (low.long() + 1) % _DIRECTIONS)
    depth, deepest = (torch.lerp(below, above, sector - low) - across).max(1, keepdim=True)
    outward = F.normalize(seen.gather(1, deepest[..., None].expand(-1, -1, 2))[:, 0], dim=-1)
    # The outline leans: where it reaches further the further round one goes, its normal turns back.
    slope = (above - below).gather(1, deepest) / _SECTOR
    radius = above.gather(1, deepest).clamp(min=_STEP_PX)
    aside = torch.stack([-outward[:, 1], outward[:, 0]], -1)
    normal = F.normalize(outward - aside * (slope / radius), dim=-1)
    along = (normal * outward).sum(-1)
    # Far inside, and where outlines are ragged, a face says nothing: from centre to centre then.
    straight = F.normalize(apart, dim=-1)
    inside = across.gather(1, deepest)[:, 0] < radius[:, 0] / 2
    astray = inside | ((normal * straight).sum(-1) < _ASTRAY)
    facing = _toward(pairs.own, straight, pairs.turn)
    facing = facing + _toward(pairs.other, -straight, pairs.other_turn)
    depth = torch.where(astray, facing - apart.norm(dim=-1), depth[:, 0] * along)
    return _deeper(depth, torch.where(astray[:, None], straight, normal))


def _toward(reach: Tensor, way: Tensor, turn: Tensor) -> Tensor:
    """How far outlines (N, D) that are turned (N, 1) reach in the directions (N, 2): (N,)."""
    angle = torch.atan2(way[:, 1:], way[:, :1]) + turn
    return reach.gather(1, (angle / _SECTOR).round().long() % _DIRECTIONS)[:, 0]


def _deeper(depth: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Of the two sides from which a pair is seen the deeper one: its depth, and whither to go."""
    mirrored, opposite = depth.roll(len(depth) // 2), normal.roll(len(depth) // 2, 0)
    first = depth >= mirrored
    return torch.maximum(depth, mirrored), torch.where(first[:, None], -normal, opposite)


def rims(reach: Tensor, turned: Tensor) -> Tensor:
    """The outline's points around the body's own place, column and row: (..., D, 2)."""
    angle = torch.arange(_DIRECTIONS, device=reach.device) * _SECTOR - turned[..., None]
    return torch.stack([angle.cos(), angle.sin()], -1) * reach[..., None]


def _bounds(outlines: Outlines, turned: Tensor) -> tuple[Tensor, Tensor]:
    """Between which places each body lies within the frame, (B, K, 2) each."""
    rim = rims(outlines.reach, turned)
    lowest = outlines.edge_px - rim.amin(-2)
    highest = outlines.size_px - outlines.edge_px - rim.amax(-2)
    return lowest, torch.maximum(highest, lowest)
