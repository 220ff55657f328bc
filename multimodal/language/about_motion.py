"""Questions about change: what moved between two frames, whether a push will succeed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np

from multimodal.errors import StateError
from multimodal.language.phrasing import Family
from multimodal.language.question import CLIP_FRAMES, NO, YES, YES_NO, Question
from multimodal.language.scene import Scene, SceneObject
from multimodal.language.vocabulary import (
    TABLE_HALF_M,
    WALL_REACH_M,
    WALLS,
    ZONE_RADIUS_M,
    Split,
)

__all__ = ["NOTHING", "moved", "success"]

NOTHING: Final = "nothing"
MOVED_M: Final = 0.016
"""What moved at least so far has visibly moved: 2.4 pixels of 64."""
STILL_M: Final = 0.003
"""What moved at most so far has visibly not: under half a pixel. Between the two none is asked."""
STILL_SHARE: Final = 0.3
"""Of the pairs in which nothing moved so many are asked about: they are most, and "nothing" and
"no" would else be right without a look."""
PUSHED_M: Final = 0.008
"""An object is being pushed when it moved so far within a clip."""
OUTCOME_MARGIN_M: Final = 0.01
"""How clearly a push must have come to its place, or must have missed it, to be asked about."""

_MOVED_WHICH = Family(
    "moved.which",
    (
        "Which object moved?",
        "Which one of the objects moved?",
        "Which object has moved?",
        "Which of the objects moved?",
        "Which object is in another place than before?",
        "What object was moved?",
        "Compare the two frames. Which object moved?",
        "Which object changed its place?",
        "Tell me which object moved.",
        "Name the object that moved.",
        "Say which object moved.",
        "Look at the two frames. Which object moved?",
        "Tell me which object has moved.",
        "Which object was moved?",
        "Tell me which object changed its place.",
        "Can you tell which object moved?",
        "Compare the two frames. Which object has moved?",
        "Tell me which of the objects changed its place.",
    ),
)
_MOVED_DID = Family(
    "moved.did",
    (
        "Did the {a} move?",
        "Has the {a} moved?",
        "Was the {a} moved?",
        "Is the {a} in another place than before?",
        "Did the {a} change its place?",
        "Compare the two frames. Did the {a} move?",
        "Has the {a} changed its place?",
        "Tell me whether the {a} moved.",
        "Is it true that the {a} moved?",
        "Look at the {a}. Did it move?",
        "Tell me: did the {a} move?",
        "Look at the {a}. Has it moved?",
        "Is it true that the {a} has moved?",
        "Tell me whether the {a} has moved.",
        "The {a} moved. Is that true?",
        "Look at the two frames. Did the {a} move?",
        "Compare the two frames. Was the {a} moved?",
        "Look at the {a}. Has it changed its place?",
    ),
)
_MOVED_WHERE = Family(
    "moved.direction",
    (
        "Which way did the {a} move?",
        "In which direction did the {a} move?",
        "Where did the {a} move to?",
        "Which way was the {a} moved?",
        "Which way has the {a} moved?",
        "The {a} moved. In which direction?",
        "Tell me which way the {a} moved.",
        "Compare the two frames. Which way did the {a} move?",
        "Name the direction in which the {a} moved.",
        "In which direction was the {a} moved?",
        "Say which way the {a} moved.",
        "Look at the {a}. Which way did it move?",
        "Tell me in which direction the {a} moved.",
        "In which direction has the {a} moved?",
        "Look at the two frames. Which way did the {a} move?",
        "Name the way the {a} moved.",
        "Tell me in which direction the {a} has moved.",
        "Compare the two frames. In which direction did the {a} move?",
    ),
)
_SUCCESS = Family(
    "success.reach",
    (
        "Will the {a} reach the {place}?",
        "Will the {a} be pushed to the {place}?",
        "Will the push bring the {a} to the {place}?",
        "Is the {a} going to reach the {place}?",
        "Will the {a} arrive at the {place}?",
        "Will the {a} get to the {place}?",
        "Will this push take the {a} to the {place}?",
        "Is this push going to bring the {a} to the {place}?",
        "Look at the push. Will the {a} reach the {place}?",
        "Will the {a} come to the {place}?",
        "Tell me: will the {a} reach the {place}?",
        "Tell me whether the {a} will reach the {place}.",
        "Look at the {a}. Will it reach the {place}?",
        "Is it true that the {a} will reach the {place}?",
        "Look at the push. Will it bring the {a} to the {place}?",
        "Is this push going to take the {a} to the {place}?",
        "Look at the push. Will the {a} get to the {place}?",
    ),
)

_T = TypeVar("_T")
_DIRECTIONS = ("left", "right", "up", "down")


def moved(scenes: Sequence[Scene], rng: np.random.Generator, split: Split) -> Question | None:
    """What moved between the first and the last frame: which, whether, or which way.

    Raises:
        StateError: one frame only, or the frames are of different scenes.
    """
    if len(scenes) < 2:
        raise StateError("what moved is asked of two frames or more; pass the first and the last.")
    ways = _ways(scenes[0], scenes[-1])
    moving = [(thing, way) for thing, way in ways if np.hypot(*way) >= MOVED_M]
    still = [thing for thing, way in ways if np.hypot(*way) <= STILL_M]
    if not moving and rng.random() > STILL_SHARE:
        return None
    pattern = rng.random()
    if pattern < 0.4:
        if len(moving) > 1 or len(moving) + len(still) < len(ways):
            return None
        text, template = _MOVED_WHICH.draw(rng, split)
        answer = moving[0][0].name if moving else NOTHING
        choices = (*(thing.name for thing, _ in ways), NOTHING)
        return Question("moved", text, answer, choices, 2, template)
    if pattern < 0.7:
        did = bool(moving) and (not still or rng.random() < 0.5)
        if not did and not still:
            return None
        thing = _one(moving, rng)[0] if did else _one(still, rng)
        text, template = _MOVED_DID.draw(rng, split, a=thing.name)
        return Question("moved", text, YES if did else NO, YES_NO, 2, template)
    clear = [(thing, way) for thing, way in moving if abs(abs(way[0]) - abs(way[1])) > MOVED_M / 2]
    if not clear:
        return None
    thing, (x_m, y_m) = _one(clear, rng)
    sideways = "left" if x_m < 0 else "right"
    direction = sideways if abs(x_m) > abs(y_m) else "down" if y_m < 0 else "up"
    text, template = _MOVED_WHERE.draw(rng, split, a=thing.name)
    return Question("moved", text, direction, _DIRECTIONS, 2, template)


def success(
    scenes: Sequence[Scene], future: Sequence[Scene], rng: np.random.Generator, split: Split
) -> Question | None:
    """Whether the object that is being pushed will come to a target or a wall.

    Args:
        scenes: the frames seen, four in a row.
        future: the frames that follow; they decide.
        rng: source of randomness.
        split: which paraphrases.

    Raises:
        StateError: too few frames, or frames of different scenes.
    """
    if len(scenes) != CLIP_FRAMES or not future:
        raise StateError(
            f"success is asked of {CLIP_FRAMES} frames and decided by those that follow, "
            f"got {len(scenes)} and {len(future)}."
        )
    pushed = [t for t, way in _ways(scenes[0], scenes[-1]) if np.hypot(*way) >= PUSHED_M]
    if len(pushed) != 1:
        return None
    thing = pushed[0]
    path = [_same(thing, scene) for scene in (scenes[-1], *future)]
    outcomes = {place: _outcome(left_m) for place, left_m in _distances(path, scenes[-1]).items()}
    wanted = rng.random() < 0.5
    places = [place for place, reached in outcomes.items() if reached is wanted]
    if not places:
        return None
    text, template = _SUCCESS.draw(rng, split, a=thing.name, place=_one(places, rng))
    return Question("success", text, YES if wanted else NO, YES_NO, CLIP_FRAMES, template)


def _distances(path: Sequence[SceneObject], scene: Scene) -> dict[str, list[float]]:
    """For every place how far inside it (negative) or outside of it the path runs, in metres."""
    walls = (
        [thing.x_m for thing in path],
        [-thing.x_m for thing in path],
        [-thing.y_m for thing in path],
        [thing.y_m for thing in path],
    )
    reach_m = TABLE_HALF_M - WALL_REACH_M
    found = {
        f"{wall} wall": [along + reach_m for along in walls[index]]
        for index, wall in enumerate(WALLS)
    }
    for zone in scene.zones:
        found[f"{zone.colour} target"] = [
            float(np.hypot(thing.x_m - zone.x_m, thing.y_m - zone.y_m)) - ZONE_RADIUS_M
            for thing in path
        ]
    return found


def _outcome(left_m: Sequence[float]) -> bool | None:
    """Whether a place is reached; None where it is reached already, or hardly, or nearly."""
    if left_m[0] <= OUTCOME_MARGIN_M:
        return None
    closest_m = min(left_m[1:])
    if abs(closest_m) < OUTCOME_MARGIN_M:
        return None
    return closest_m < 0


def _ways(before: Scene, after: Scene) -> list[tuple[SceneObject, tuple[float, float]]]:
    """Every object of the later frame with its displacement (x, y) in metres."""
    pairs = [(_same(thing, before), thing) for thing in after.objects]
    return [(new, (new.x_m - old.x_m, new.y_m - old.y_m)) for old, new in pairs]


def _same(thing: SceneObject, scene: Scene) -> SceneObject:
    found = scene.find(thing.colour)
    if found is None or found.shape != thing.shape:
        raise StateError(
            f"the {thing.name} is not in both frames; pass frames of one episode, oldest first."
        )
    return found


def _one(items: Sequence[_T], rng: np.random.Generator) -> _T:
    return items[int(rng.integers(len(items)))]
