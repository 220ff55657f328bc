"""What is worth trying: pushes from different sides, so that few imagined futures go far.

Brute search over 24 numbers wastes nearly every try on not touching anything. These proposals are
the script's way of pushing, off to one side or the other, worked out against a disc that gives way;
which of them works, with the real shapes and whatever stands in between, only imagination tells.
"""

from __future__ import annotations

from typing import Final

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


def push_proposals(
    pusher_m: NDArray[np.float64],
    object_m: NDArray[np.float64],
    place: Place,
    count: int,
    horizon: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Sequences of actions that push an object towards a place, the straight way first.

    Args:
        pusher_m: where the pusher is (2,).
        object_m: where the object is (2,).
        place: where it shall go.
        count: how many sequences; the first fifteen are the same every time, others are drawn.
        horizon: actions in each.
        rng: of the drawn ones.

    Returns:
        float32 (count, horizon, 2) in [-1, 1].
    """
    fixed = [(np.deg2rad(angle), 0.0) for angle in _ANGLES_DEG] + [(0.0, a) for a in _ASIDE_M]
    sequences = []
    for number in range(count):
        drawn = (rng.normal(0, 0.6), rng.normal(0, 0.008))
        angle, aside_m = fixed[number] if number < len(fixed) else drawn
        sequences.append(_push(pusher_m, object_m, place, horizon, angle, aside_m))
    return np.stack(sequences)


def _push(
    pusher_m: NDArray[np.float64],
    object_m: NDArray[np.float64],
    place: Place,
    horizon: int,
    angle: float,
    aside_m: float,
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
        actions[step] = push_action(pusher, aimed, target)
        pusher = np.clip(pusher + _STEP_M * actions[step], -REACH_M, REACH_M)
        thing, touched = _given_way(pusher, thing)
        if touched:
            angle *= 0.85
    return actions


def _turned(way: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
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
