"""What is worth trying: pushes from different sides, so that few imagined futures go far.

Brute search over 24 numbers wastes nearly every try on not touching anything. These proposals are
the script's way of pushing, off to one side or the other, worked out against a disc that gives way;
which of them works, with the real shapes and whatever stands in between, only imagination tells.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agents.planning.cost import CONTACT_M, REACH_M, Place
from envs.behaviours import push_action
from envs.push_scene import PUSHER_SPEED_M_S, TABLE_HALF_M

__all__ = ["push_proposals"]

_STEP_M: Final = 0.1 * PUSHER_SPEED_M_S
_ANGLES_DEG: Final = (0, 12, -12, 25, -25, 42, -42, 62, -62, 85, -85)
_ASIDE_M: Final = (0.007, -0.007, 0.013, -0.013)
_OBJECT_REACH_M: Final = TABLE_HALF_M - 0.028
# Between the middles of the pusher and a body that it passes by, corners included.
_PASSING_M: Final = CONTACT_M + 0.006
# What lies further ahead than this is steered around later.
_AHEAD_M: Final = 0.11


def push_proposals(
    pusher_m: NDArray[np.float64],
    object_m: NDArray[np.float64],
    place: Place,
    count: int,
    horizon: int,
    rng: np.random.Generator,
    others_m: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """Sequences of actions that push an object towards a place, the straight way first.

    The first goes straight at it, whatever stands in between. All others go around what is not to
    be pushed, on their way to the object.

    Args:
        pusher_m: where the pusher is (2,).
        object_m: where the object is (2,).
        place: where it shall go.
        count: how many sequences; the first fifteen are the same every time, others are drawn.
        horizon: actions in each.
        rng: of the drawn ones.
        others_m: where the other objects are (M, 2); None for none.

    Returns:
        float32 (count, horizon, 2) in [-1, 1].
    """
    none = np.zeros((0, 2))
    others = none if others_m is None else others_m
    fixed = [(np.deg2rad(angle), 0.0) for angle in _ANGLES_DEG] + [(0.0, a) for a in _ASIDE_M]
    sequences = [_push(pusher_m, object_m, place, horizon, *fixed[0], none)]
    if len(others):
        around = _push(pusher_m, object_m, place, horizon, *fixed[0], others)
        if not np.array_equal(around, sequences[0]):
            sequences.append(around)
    for number in range(1, count):
        drawn = (rng.normal(0, 0.6), rng.normal(0, 0.008))
        angle, aside_m = fixed[number] if number < len(fixed) else drawn
        sequences.append(_push(pusher_m, object_m, place, horizon, angle, aside_m, others))
    return np.stack(sequences[:count])


def _push(
    pusher_m: NDArray[np.float64],
    object_m: NDArray[np.float64],
    place: Place,
    horizon: int,
    angle: float,
    aside_m: float,
    others_m: NDArray[np.float64],
) -> NDArray[np.float32]:
    """One push at an angle to the way and off the object's middle; the angle fades on the way."""
    pusher, thing = pusher_m.copy(), object_m.copy()
    actions = np.zeros((horizon, 2), np.float32)
    for step in range(horizon):
        if place.missing_m(thing) <= 0:
            # It is there: pushing on would take it out again.
            break
        way = place.aim_m(thing) - thing
        along = _turned(way, angle)
        side = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-9)
        aimed = thing + aside_m * side
        target = np.clip(aimed + along, -REACH_M, REACH_M)
        action = push_action(pusher, aimed, target)
        if len(others_m) and np.linalg.norm(thing - pusher) > CONTACT_M + _STEP_M:
            action = _steered(action, pusher, thing, others_m)
        actions[step] = action
        pusher = np.clip(pusher + _STEP_M * actions[step], -REACH_M, REACH_M)
        thing, touched = _given_way(pusher, thing)
        if touched:
            angle *= 0.85
    return actions


def _steered(
    action: NDArray[np.float32],
    pusher_m: NDArray[np.float64],
    thing_m: NDArray[np.float64],
    others_m: NDArray[np.float64],
) -> NDArray[np.float32]:
    """The action, turned so far that it passes by the first body in its way."""
    speed = float(np.linalg.norm(action))
    if speed < 1e-6:
        return action
    unit = action / speed
    offset = others_m - pusher_m
    ahead, beside = offset @ unit, _left_of(offset, unit)
    blocking = (ahead > 0) & (ahead < _AHEAD_M) & (np.abs(beside) < _PASSING_M)
    if not blocking.any():
        return action
    nearest = int(np.where(blocking, ahead, np.inf).argmin())
    # Past it on the side that lies nearer to the object's: the action's own may change each step.
    side = 1.0 if _left_of(offset[nearest], thing_m - pusher_m) >= 0 else -1.0
    distance = max(float(np.linalg.norm(offset[nearest])), 1e-6)
    tangent = np.arcsin(min(1.0, _PASSING_M / distance))
    bearing = np.arctan2(side * beside[nearest], ahead[nearest])
    turned = _turned(unit, -side * float(tangent - bearing))
    scaled: NDArray[np.float32] = (turned * speed / max(1.0, speed * np.abs(turned).max())).astype(
        np.float32
    )
    return scaled


def _left_of(points: NDArray[np.float64], way: NDArray[Any]) -> NDArray[np.float64]:
    """How far points (..., 2) lie to the left of a direction, times its length."""
    found: NDArray[np.float64] = points @ np.array([-way[1], way[0]])
    return found


def _turned(way: NDArray[Any], angle: float) -> NDArray[Any]:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([cosine * way[0] - sine * way[1], sine * way[0] + cosine * way[1]])


def _given_way(
    pusher: NDArray[np.float64], thing: NDArray[np.float64]
) -> tuple[NDArray[np.float64], bool]:
    """Where a disc ends up that is pushed without sliding on, and whether it was touched."""
    offset = thing - pusher
    distance = float(np.linalg.norm(offset))
    if distance >= CONTACT_M:
        return thing, False
    moved = pusher + offset / max(distance, 1e-6) * CONTACT_M
    return np.clip(moved, -_OBJECT_REACH_M, _OBJECT_REACH_M), True
