"""What a policy is after, as numbers: a goal vector, or a place shown in a picture.

An aim is the goal vector of the Push table with a free place behind it: where neither a zone nor a
wall is named, the object shall come to that place. So goals in words, goal images and hindsight
are one kind of thing to the policy.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agents.policy.sight import Sight
from envs.push_goals import GOAL_DIM
from envs.push_scene import COLOURS, TABLE_HALF_M, ZONE_RADIUS_M
from multimodal.errors import StateError
from multimodal.language.vocabulary import WALL_REACH_M

__all__ = ["AIM_DIM", "aims_of", "image_aims", "outcome_of", "place_aims", "target_of"]

_K = len(COLOURS)
AIM_DIM = GOAL_DIM + 2
# Left, right, top, bottom: which coordinate counts, and towards which side.
_AXIS = torch.tensor([0, 0, 1, 1])
_SIGN = torch.tensor([-1.0, 1.0, 1.0, -1.0])
# Where an object is pushed to when a wall is the goal; its middle cannot come closer.
_WALL_GAP_M = 0.03
# An object that moved less than this between two pictures stayed where it was.
_MOVED_M = 0.03


def aims_of(goals: Tensor) -> Tensor:
    """Aims (B, AIM_DIM) of goal vectors (B, GOAL_DIM); aims pass unchanged.

    Raises:
        StateError: neither of the two, or a goal that names no object or no place.
    """
    if goals.ndim != 2 or goals.shape[1] not in (GOAL_DIM, AIM_DIM):
        raise StateError(
            f"Goals must have shape (B, {GOAL_DIM}), or (B, {AIM_DIM}) for aims; got "
            f"{tuple(goals.shape)}."
        )
    goals = goals.float()
    if not bool((goals[:, :_K].sum(1) > 0.5).all()):
        raise StateError(
            "The goal names no object: its first numbers, one for each colour "
            f"({', '.join(COLOURS)}), are all zero. Pass info['goal'] of the world, or read the "
            "goal from an instruction with Policy.goals_of."
        )
    if goals.shape[1] == AIM_DIM:
        return goals
    if not bool((goals[:, _K:].sum(1) > 0.5).all()):
        raise StateError("The goal names no place: set a zone's colour or a wall.")
    return torch.cat([goals, goals.new_zeros(len(goals), 2)], 1)


def place_aims(colour: Tensor, place_m: Tensor) -> Tensor:
    """Aims to bring the object of a colour (B,) int64 to a place (B, 2) in metres."""
    aims = torch.zeros(len(colour), AIM_DIM, device=colour.device)
    aims[torch.arange(len(colour)), colour] = 1
    aims[:, GOAL_DIM:] = place_m
    return aims


def image_aims(now: Sight, wanted: Sight) -> Tensor:
    """Aims from goal images: the object that lies elsewhere in the picture goes there.

    Args:
        now: the present.
        wanted: what the goal images show.

    Returns:
        (B, AIM_DIM).

    Raises:
        StateError: a goal image shows no object at another place.
    """
    both = (now.object_present > 0.5) & (wanted.object_present > 0.5)
    moved = (now.objects_m - wanted.objects_m).norm(dim=-1) * both
    if not bool((moved.amax(1) > _MOVED_M).all()):
        raise StateError(
            "A goal image shows every object where it already is: nothing to do. Use a picture in "
            f"which one object lies at least {_MOVED_M * 100:.0f} cm away from where it is now."
        )
    colour = moved.argmax(1)
    return place_aims(colour, wanted.objects_m[torch.arange(len(now)), colour])


def target_of(sight: Sight, aims: Tensor) -> tuple[Tensor, Tensor]:
    """The object's position and the place it should come to, (B, 2) each, in metres."""
    object_m = (aims[:, :_K, None] * sight.objects_m).sum(1)
    zone = aims[:, _K : 2 * _K]
    wall = aims[:, 2 * _K : GOAL_DIM]
    place_m = (zone[..., None] * sight.zones_m).sum(1)
    free = 1 - zone.sum(1, keepdim=True) - wall.sum(1, keepdim=True)
    place_m = place_m + free * aims[:, GOAL_DIM:]
    axis = _AXIS.to(aims.device)[wall.argmax(1)]
    edge = _SIGN.to(aims.device)[wall.argmax(1)] * (TABLE_HALF_M - _WALL_GAP_M)
    before = object_m.scatter(1, axis[:, None], edge[:, None])
    return object_m, torch.where(wall.sum(1, keepdim=True) > 0.5, before, place_m)


def outcome_of(sight: Sight, aims: Tensor) -> tuple[Tensor, Tensor]:
    """Dense reward (B,) and success bool (B,) as `worldmodel/Push-v0` defines them.

    An object that is not seen gives no success.
    """
    object_m, place_m = target_of(sight, aims)
    wall = aims[:, 2 * _K : GOAL_DIM]
    index = wall.argmax(1)
    along = object_m.gather(1, _AXIS.to(aims.device)[index][:, None])[:, 0]
    to_wall = TABLE_HALF_M - _SIGN.to(aims.device)[index] * along
    is_wall = wall.sum(1) > 0.5
    distance_m = torch.where(is_wall, to_wall, (object_m - place_m).norm(dim=1))
    reach_m = torch.where(is_wall, WALL_REACH_M, ZONE_RADIUS_M)
    seen = (aims[:, :_K] * sight.object_present).sum(1) > 0.5
    success = (distance_m < reach_m) & seen
    approach_m = (object_m - sight.pusher_m).norm(dim=1)
    cost = distance_m / TABLE_HALF_M + 0.25 * approach_m / TABLE_HALF_M
    return success.float() - cost, success
