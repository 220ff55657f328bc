"""How far an imagined future is from a goal: metres the pusher still has to travel.

The distance from object to place alone says nothing until the object moves. So the way around the
object to the point from which it is pushed counts as well, and what is bound to make that
impossible: an object too close to a wall has no room behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agents.planning.bodies import Bodies
from envs.push_scene import PUSHER_RADIUS_M, TABLE_HALF_M, ZONE_RADIUS_M
from multimodal.language.vocabulary import WALL_REACH_M, WALLS

__all__ = ["CONTACT_M", "REACH_M", "GoalCost", "Place"]

# From the middle of the pusher to the middle of an object that it touches, about.
CONTACT_M: Final = 0.046
REACH_M: Final = TABLE_HALF_M - PUSHER_RADIUS_M
_CLEARANCE_M: Final = CONTACT_M + 0.008
_ROOM_WEIGHT: Final = 1.5
_UNSEEN_M: Final = 0.1
_DISTURBED_WEIGHT: Final = 0.6

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """Where an object shall go: a zone's middle, or a wall.

    Attributes:
        zone_m: middle of the zone (x, y), or None for a wall.
        wall: index into WALLS, or -1 for a zone.
        margin_m: how far inside the border of success an object has to be to count as there:
            readings are off by two millimetres, and the middle of a ball that has rolled by six
            more, which nobody sees.
    """

    zone_m: tuple[float, float] | None
    wall: int = -1
    margin_m: float = 0.008

    def aim_m(self, object_m: Points) -> Points:
        """The point (..., 2) at which objects (..., 2) should arrive."""
        if self.zone_m is not None:
            return np.broadcast_to(np.array(self.zone_m), object_m.shape)
        axis, sign = _WALL_AXES[self.wall]
        aim = object_m.copy()
        aim[..., axis] = sign * (TABLE_HALF_M - WALL_REACH_M + 0.02)
        return aim

    def missing_m(self, object_m: Points) -> Points:
        """How far objects (..., 2) are from counting as there; 0 once they do."""
        if self.zone_m is not None:
            distance = np.linalg.norm(object_m - np.array(self.zone_m), axis=-1)
            return np.maximum(distance - ZONE_RADIUS_M + self.margin_m, 0)
        axis, sign = _WALL_AXES[self.wall]
        distance = TABLE_HALF_M - sign * object_m[..., axis]
        return np.maximum(distance - WALL_REACH_M + self.margin_m, 0)

    def reached(self, object_m: Points) -> NDArray[np.bool_]:
        """Whether objects (..., 2) are there."""
        return self.missing_m(object_m) <= 0

    def name(self) -> str:
        """For messages."""
        return f"the {WALLS[self.wall]} wall" if self.zone_m is None else "the target"


_WALL_AXES: Final = ((0, -1), (0, 1), (1, 1), (1, -1))


@dataclass(frozen=True)
class GoalCost:
    """Cost of bringing the object of one colour to a place.

    Attributes:
        colour: index of the object's colour.
        place: where to.
        start: readings of the present frame, without leading axes: what else shall stay put.
        uncertainty_weight: metres that an object counts for which is not seen any more.
    """

    colour: int
    place: Place
    start: Bodies
    uncertainty_weight: float = _UNSEEN_M

    def __call__(self, bodies: Bodies, steps: tuple[int, ...], horizon: int) -> Points:
        """Cost (N,) of imagined readings (N, R, ...); the lower the better.

        Futures that reach the place count by how soon they do, others by what is left to travel
        at their end.
        """
        moved = bodies.position_m[:, :, self.colour]
        seen = bodies.presence[:, :, self.colour]
        # What is read off a frame that lost its object is no position.
        there = self.place.reached(moved) & (seen > 0.5)
        first = np.where(there.any(1), there.argmax(1), len(steps) - 1)
        rows = np.arange(len(moved))
        object_m, pusher_m = moved[rows, first], bodies.pusher_m[rows, first]
        soon = 0.02 * np.array(steps)[first]
        left = self.to_go_m(pusher_m, object_m)
        doubt = self.uncertainty_weight * (1 - seen[rows, first])
        # Still there at the end is better than passing by.
        left = np.where(there.any(1), 0.3 * self.place.missing_m(moved[:, -1]), left)
        return soon + left + doubt + self._disturbed(bodies)

    def to_go_m(self, pusher_m: Points, object_m: Points) -> Points:
        """Metres the pusher still has to travel, for pushers and objects (N, 2)."""
        missing = self.place.missing_m(object_m)
        way = self.place.aim_m(object_m) - object_m
        length = np.linalg.norm(way, axis=-1, keepdims=True)
        along = way / np.maximum(length, 1e-6)
        behind = object_m - along * CONTACT_M
        room = np.abs(behind) - REACH_M
        squeezed = np.maximum(room, 0).sum(-1)
        approach = _around(pusher_m, np.clip(behind, -REACH_M, REACH_M), object_m)
        return np.where(missing <= 0, 0.0, missing + approach + _ROOM_WEIGHT * squeezed)

    def others_m(self) -> Points:
        """Where the objects are that shall stay put (M, 2)."""
        return self.start.position_m[self._others()]

    def _others(self) -> NDArray[np.bool_]:
        return (self.start.presence > 0.5) & (np.arange(len(self.start.presence)) != self.colour)

    def _disturbed(self, bodies: Bodies) -> Points:
        """Metres (N,) by which other objects were pushed about, weighted."""
        moved = np.linalg.norm(bodies.position_m[:, -1] - self.start.position_m, axis=-1)
        counted = (bodies.presence[:, -1] > 0.5) & self._others()
        total: Points = (np.clip(moved - 0.01, 0, 0.1) * counted).sum(-1)
        return _DISTURBED_WEIGHT * total


def _around(start: Points, end: Points, centre: Points) -> Points:
    """Length of the way from start to end (N, 2) around a disc that must not be touched."""
    direct = end - start
    length = np.linalg.norm(direct, axis=-1)
    unit = direct / np.maximum(length, 1e-9)[:, None]
    offset = centre - start
    ahead = np.clip((offset * unit).sum(-1), 0, length)
    nearest = np.linalg.norm(offset - ahead[:, None] * unit, axis=-1)
    # Contact points lie on the disc's rim: their own neighbourhood is no obstacle.
    blocked = np.maximum(_CLEARANCE_M - 0.012 - nearest, 0)
    return length + 2.5 * blocked
