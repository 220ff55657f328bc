"""Questions about where things are: relations, what is nearest, which quarter of the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from multimodal.language.phrasing import Family
from multimodal.language.question import NO, YES, YES_NO, Question
from multimodal.language.scene import Scene
from multimodal.language.vocabulary import Split

__all__ = ["QUARTERS", "RELATIONS", "nearest", "position", "relation"]

RELATION_MARGIN_M: Final = 0.03
"""Two things are compared along an axis only where they lie at least so far apart on it."""
NEAREST_MARGIN_M: Final = 0.03
"""The nearest is asked for only where the next one is at least so much farther away."""
QUARTER_MARGIN_M: Final = 0.025
"""A quarter of the table is named only of what lies at least so far inside it."""

RELATIONS: Final[dict[str, tuple[int, int]]] = {
    "left of": (0, -1),
    "right of": (0, 1),
    "above": (1, 1),
    "below": (1, -1),
}
QUARTERS: Final = ("top left", "top right", "bottom left", "bottom right")

_RELATION_IS = Family(
    "relation.is",
    (
        "Is the {a} {relation} the {b}?",
        "Is the {a} somewhere {relation} the {b}?",
        "Does the {a} lie {relation} the {b}?",
        "Does the {a} stand {relation} the {b}?",
        "Look at the {a}. Is it {relation} the {b}?",
        "Can the {a} be seen {relation} the {b}?",
        "Do you see the {a} {relation} the {b}?",
        "Is it true that the {a} is {relation} the {b}?",
        "Would you say that the {a} is {relation} the {b}?",
        "In this picture, is the {a} {relation} the {b}?",
        "Tell me: is the {a} {relation} the {b}?",
        "Tell me whether the {a} is {relation} the {b}.",
        "The {a} is {relation} the {b}. Is that true?",
        "Look at the {a}. Does it lie {relation} the {b}?",
        "Is it true that the {a} lies {relation} the {b}?",
        "Look at the {a}. Does it stand {relation} the {b}?",
    ),
)
_RELATION_WHICH = Family(
    "relation.which",
    (
        "Is the {a} {first} or {second} the {b}?",
        "Is the {a} {second} or {first} the {b}?",
        "Does the {a} lie {first} or {second} the {b}?",
        "Does the {a} stand {second} or {first} the {b}?",
        "Look at the {a}. Is it {first} or {second} the {b}?",
        "Which is true: the {a} is {first} or {second} the {b}?",
        "In this picture, is the {a} {second} or {first} the {b}?",
        "Do you see the {a} {first} or {second} the {b}?",
        "Would you say that the {a} is {first} or {second} the {b}?",
        "Where is the {a}: {first} or {second} the {b}?",
        "Tell me: is the {a} {first} or {second} the {b}?",
        "Look at the {a}. Is it {second} or {first} the {b}?",
        "Say where the {a} is: {first} or {second} the {b}.",
        "Which is true: the {a} lies {first} or {second} the {b}?",
        "Look at the {a}. Does it lie {second} or {first} the {b}?",
        "Which is true: the {a} stands {first} or {second} the {b}?",
    ),
)
_NEAREST = Family(
    "nearest.to",
    (
        "Which object is nearest to the {b}?",
        "Which object is closest to the {b}?",
        "What object is nearest to the {b}?",
        "Name the object nearest to the {b}.",
        "Which of the objects is nearest to the {b}?",
        "Tell me which object is closest to the {b}.",
        "What object lies nearest to the {b}?",
        "Look at the {b}. Which object is nearest to it?",
        "The {b} is nearest to which object?",
        "Which object lies closest to the {b}?",
        "Say which object is nearest to the {b}.",
        "Look at the {b}. Which object is closest to it?",
        "Look at the {b}. What lies nearest to it?",
        "Tell me which object lies closest to the {b}.",
        "Tell me what object is nearest to the {b}.",
        "The {b} is closest to which object?",
        "Which of the objects lies closest to the {b}?",
        "What object stands closest to the {b}?",
        "Name what is nearest to the {b}.",
        "Can you tell which object is nearest to the {b}?",
        "Tell me which of the objects lies nearest to the {b}.",
        "Look at the {b}. What object is closest to it?",
    ),
)
_POSITION = Family(
    "position.quarter",
    (
        "Where is the {a}?",
        "Where on the table is the {a}?",
        "In which corner of the table is the {a}?",
        "Which part of the table is the {a} in?",
        "Where does the {a} lie?",
        "Where can you see the {a}?",
        "Tell me where the {a} is.",
        "In which quarter of the table does the {a} lie?",
        "Name the part of the table that holds the {a}.",
        "Where does the {a} stand?",
        "Say where the {a} is.",
        "Look at the {a}. Where is it?",
        "Tell me in which corner the {a} lies.",
        "Tell me which quarter of the table holds the {a}.",
        "Which quarter of the table is the {a} in?",
        "Look at the table. Where is the {a}?",
        "Can you tell where the {a} is?",
        "Tell me in which quarter of the table the {a} is.",
        "In which part of the table can you see the {a}?",
    ),
)

_Named = tuple[str, tuple[float, float]]


def relation(scene: Scene, rng: np.random.Generator, split: Split) -> Question | None:
    """Left of, right of, above or below: yes or no, or which of two."""
    things = [*_objects(scene), ("pusher", scene.pusher_m)]
    pairs = [(a, b) for a in things[:-1] for b in things if a is not b]
    # Objects among themselves three times for each time with the pusher.
    weights = np.array([1.0 if b[0] == "pusher" else 3.0 for _, b in pairs])
    if not pairs:
        return None
    for index in rng.choice(len(pairs), len(pairs), replace=False, p=weights / weights.sum()):
        (a, a_m), (b, b_m) = pairs[index]
        axes = [axis for axis in (0, 1) if abs(a_m[axis] - b_m[axis]) >= RELATION_MARGIN_M]
        if not axes:
            continue
        axis = axes[int(rng.integers(len(axes)))]
        words = ("left of", "right of") if axis == 0 else ("below", "above")
        true = words[int(a_m[axis] > b_m[axis])]
        if rng.random() < 0.3:
            first, second = words if rng.random() < 0.5 else words[::-1]
            text, template = _RELATION_WHICH.draw(rng, split, a=a, b=b, first=first, second=second)
            short = tuple(word.removesuffix(" of") for word in words)
            return Question("relation", text, true.removesuffix(" of"), short, 1, template)
        asked = words[int(rng.integers(2))]
        text, template = _RELATION_IS.draw(rng, split, a=a, b=b, relation=asked)
        return Question("relation", text, YES if asked == true else NO, YES_NO, 1, template)
    return None


def nearest(scene: Scene, rng: np.random.Generator, split: Split) -> Question | None:
    """Which object is nearest to another, to the pusher or to a target."""
    objects = _objects(scene)
    others: list[_Named] = [("pusher", scene.pusher_m)]
    others += [(f"{zone.colour} target", (zone.x_m, zone.y_m)) for zone in scene.zones]
    anchors = [*objects, *others] if len(objects) > 2 else others
    for index in rng.permutation(len(anchors)):
        name, anchor_m = anchors[index]
        rest = [thing for thing in objects if thing[0] != name]
        order = sorted(rest, key=lambda thing: _distance_m(thing[1], anchor_m))
        if len(order) < 2:
            continue
        gap_m = _distance_m(order[1][1], anchor_m) - _distance_m(order[0][1], anchor_m)
        if gap_m >= NEAREST_MARGIN_M:
            text, template = _NEAREST.draw(rng, split, b=name)
            choices = tuple(thing[0] for thing in rest)
            return Question("nearest", text, order[0][0], choices, 1, template)
    return None


def position(scene: Scene, rng: np.random.Generator, split: Split) -> Question | None:
    """In which quarter of the table an object or the pusher is."""
    things = [*_objects(scene), ("pusher", scene.pusher_m)]
    for index in rng.permutation(len(things)):
        name, (x_m, y_m) = things[index]
        if min(abs(x_m), abs(y_m)) >= QUARTER_MARGIN_M:
            quarter = f"{'top' if y_m > 0 else 'bottom'} {'left' if x_m < 0 else 'right'}"
            text, template = _POSITION.draw(rng, split, a=name)
            return Question("position", text, quarter, QUARTERS, 1, template)
    return None


def _objects(scene: Scene) -> list[_Named]:
    return [(thing.name, (thing.x_m, thing.y_m)) for thing in scene.objects]


def _distance_m(a_m: Sequence[float], b_m: Sequence[float]) -> float:
    return float(np.hypot(a_m[0] - b_m[0], a_m[1] - b_m[1]))
