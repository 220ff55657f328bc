"""Questions about what stands on the table: how many, which colour, which shape, whether at all."""

from __future__ import annotations

from typing import Final

import numpy as np

from multimodal.language.phrasing import Family
from multimodal.language.question import NO, YES, YES_NO, Question, article
from multimodal.language.scene import Scene, SceneObject
from multimodal.language.vocabulary import (
    COLOURS,
    PLURALS,
    SHAPES,
    TRAINING_COMBINATIONS,
    Split,
)

__all__ = ["EXTREMES", "colour", "count", "existence", "shape"]

EXTREME_MARGIN_M: Final = 0.03
"""The leftmost object is asked for only where the next one lies at least so far from it."""

_COUNTS = tuple(str(number) for number in range(5))
EXTREMES: Final[dict[str, tuple[int, int]]] = {
    "leftmost": (0, -1),
    "rightmost": (0, 1),
    "topmost": (1, 1),
    "bottommost": (1, -1),
}
"""Axis, and which way along it."""

_COUNT_ALL = Family(
    "count.objects",
    (
        "How many objects are there?",
        "How many objects are on the table?",
        "Count the objects.",
        "What is the number of objects?",
        "How many objects stand on the table?",
        "How many objects can you see?",
        "Tell me how many objects there are.",
        "Count all objects on the table.",
        "How many objects does the table hold?",
        "What is the total number of objects on the table?",
        "Say how many objects there are.",
        "Can you count the objects?",
        "There is a table. How many objects are on it?",
        "Look at the table. How many objects are there?",
        "Tell me how many objects the table holds.",
        "Look at the objects. How many are there?",
        "Tell me the number of objects on the table.",
        "Count all the objects you can see.",
    ),
)
_COUNT_SHAPE = Family(
    "count.shape",
    (
        "How many {things} are there?",
        "How many {things} are on the table?",
        "Count the {things}.",
        "What is the number of {things}?",
        "How many {things} stand on the table?",
        "How many {things} can you see?",
        "Tell me how many {things} there are.",
        "Count all {things} on the table.",
        "How many of the objects are {things}?",
        "What is the total number of {things} on the table?",
        "Say how many {things} there are.",
        "Can you count the {things}?",
        "There is a table. How many {things} are on it?",
        "Look at the table. How many {things} are there?",
        "Tell me how many {things} the table holds.",
        "Look at the objects. How many are {things}?",
        "Tell me the number of {things} on the table.",
        "Count all the {things} you can see.",
    ),
)
_COLOUR_OF_SHAPE = Family(
    "colour.of_shape",
    (
        "What colour is the {thing}?",
        "Which colour is the {thing}?",
        "What is the colour of the {thing}?",
        "Which colour does the {thing} have?",
        "Name the colour of the {thing}.",
        "Tell me the colour of the {thing}.",
        "The {thing} is of which colour?",
        "What colour does the {thing} on the table have?",
        "There is one {thing}. What colour is it?",
        "Look at the {thing}. Which colour is it?",
        "Say which colour the {thing} has.",
        "Can you tell the colour of the {thing}?",
        "Tell me which colour the {thing} has.",
        "Tell me what the colour of the {thing} is.",
        "Look at the {thing}. What colour is it?",
        "The {thing} has which colour?",
        "Look at the table. What colour is the {thing}?",
        "There is one {thing}. Tell me its colour.",
        "Say what colour the {thing} has.",
        "Which is the colour of the {thing} on the table?",
        "Tell me what colour the {thing} is.",
    ),
)
_COLOUR_AT = Family(
    "colour.at",
    (
        "What colour is the {where} object?",
        "Which colour is the {where} object?",
        "What is the colour of the {where} object?",
        "Which colour does the {where} object have?",
        "Name the colour of the {where} object.",
        "Tell me the colour of the {where} object.",
        "The {where} object is of which colour?",
        "What colour does the {where} object on the table have?",
        "Look at the {where} object. Which colour is it?",
        "Of which colour is the {where} object?",
        "Say which colour the {where} object has.",
        "Can you tell the colour of the {where} object?",
        "Tell me which colour the {where} object has.",
        "Tell me what the colour of the {where} object is.",
        "Look at the {where} object. What colour is it?",
        "The {where} object has which colour?",
        "Look at the table. What colour is the {where} object?",
        "Look at the {where} object. Tell me its colour.",
        "Say what colour the {where} object has.",
        "Which object is {where}? Name its colour.",
        "Which is the colour of the {where} object on the table?",
        "Tell me what colour the {where} object is.",
    ),
)
_SHAPE_OF_COLOUR = Family(
    "shape.of_colour",
    (
        "What shape is the {colour} object?",
        "Which shape is the {colour} object?",
        "What is the shape of the {colour} object?",
        "Which shape does the {colour} object have?",
        "Name the shape of the {colour} object.",
        "Tell me the shape of the {colour} object.",
        "The {colour} object is of which shape?",
        "What shape does the {colour} object have?",
        "There is a {colour} object. What shape is it?",
        "Look at the {colour} object. Which shape is it?",
        "Say which shape the {colour} object has.",
        "Can you tell the shape of the {colour} object?",
        "Tell me which shape the {colour} object has.",
        "Tell me what the shape of the {colour} object is.",
        "Look at the {colour} object. What shape is it?",
        "The {colour} object has which shape?",
        "Look at the table. What shape is the {colour} object?",
        "There is a {colour} object. Tell me its shape.",
        "Say what shape the {colour} object has.",
        "Which is the shape of the {colour} object on the table?",
        "Tell me what shape the {colour} object is.",
    ),
)
_SHAPE_AT = Family(
    "shape.at",
    (
        "What shape is the {where} object?",
        "Which shape is the {where} object?",
        "What is the shape of the {where} object?",
        "Which shape does the {where} object have?",
        "Name the shape of the {where} object.",
        "Tell me the shape of the {where} object.",
        "The {where} object is of which shape?",
        "What shape does the {where} object on the table have?",
        "Look at the {where} object. Which shape is it?",
        "Of which shape is the {where} object?",
        "Say which shape the {where} object has.",
        "Can you tell the shape of the {where} object?",
        "Tell me which shape the {where} object has.",
        "Tell me what the shape of the {where} object is.",
        "Look at the {where} object. What shape is it?",
        "The {where} object has which shape?",
        "Look at the table. What shape is the {where} object?",
        "Look at the {where} object. Tell me its shape.",
        "Say what shape the {where} object has.",
        "Which object is {where}? Name its shape.",
        "Which is the shape of the {where} object on the table?",
        "Tell me what shape the {where} object is.",
    ),
)
_EXISTENCE = Family(
    "existence.thing",
    (
        "Is there {a_thing}?",
        "Is there {a_thing} on the table?",
        "Can you see {a_thing}?",
        "Does the table hold {a_thing}?",
        "Do you see {a_thing} on the table?",
        "Is {a_thing} on the table?",
        "Is {a_thing} to be seen?",
        "Does {a_thing} stand on the table?",
        "Look at the table. Is there {a_thing}?",
        "Is one of the objects {a_thing}?",
        "Look at the table. Can you see {a_thing}?",
        "Tell me whether there is {a_thing}.",
        "Is it true that there is {a_thing}?",
        "There is {a_thing} on the table. Is that true?",
        "Look at the objects. Is one of them {a_thing}?",
        "Can {a_thing} be seen on the table?",
        "Look at the objects. Can you see {a_thing}?",
    ),
)


def count(scene: Scene, rng: np.random.Generator, split: Split) -> Question | None:
    """How many objects, or how many of a shape; a shape that is absent in about a third."""
    if rng.random() < 0.4:
        text, template = _COUNT_ALL.draw(rng, split)
        return Question("count", text, str(len(scene.objects)), _COUNTS, 1, template)
    present = sorted({thing.shape for thing in scene.objects})
    absent = [shape for shape in SHAPES if shape not in present]
    pool = absent if absent and (not present or rng.random() < 1 / 3) else present
    chosen = pool[int(rng.integers(len(pool)))]
    number = sum(thing.shape == chosen for thing in scene.objects)
    text, template = _COUNT_SHAPE.draw(rng, split, things=PLURALS[chosen])
    return Question("count", text, str(number), _COUNTS, 1, template)


def colour(scene: Scene, rng: np.random.Generator, split: Split) -> Question | None:
    """The colour of the only object of its shape, or of the outermost one."""
    shapes = [thing.shape for thing in scene.objects]
    single = [thing for thing in scene.objects if shapes.count(thing.shape) == 1]
    outermost = _outermost(scene, rng)
    if outermost and (not single or rng.random() < 0.4):
        where, thing = outermost
        text, template = _COLOUR_AT.draw(rng, split, where=where)
    elif single:
        thing = single[int(rng.integers(len(single)))]
        text, template = _COLOUR_OF_SHAPE.draw(rng, split, thing=thing.shape)
    else:
        return None
    return Question("colour", text, thing.colour, COLOURS, 1, template)


def shape(scene: Scene, rng: np.random.Generator, split: Split) -> Question | None:
    """The shape of the object of a colour, or of the outermost one."""
    if not scene.objects:
        return None
    outermost = _outermost(scene, rng)
    if outermost and rng.random() < 0.4:
        where, thing = outermost
        text, template = _SHAPE_AT.draw(rng, split, where=where)
    else:
        thing = scene.objects[int(rng.integers(len(scene.objects)))]
        text, template = _SHAPE_OF_COLOUR.draw(rng, split, colour=thing.colour)
    return Question("shape", text, thing.shape, SHAPES, 1, template)


def existence(scene: Scene, rng: np.random.Generator, split: Split) -> Question | None:
    """Whether a combination, a colour or a shape is there; as often absent as present."""
    there = rng.random() < 0.5
    noun = _present(scene, rng) if there else _absent(scene, rng, split)
    if noun is None:
        return None
    text, template = _EXISTENCE.draw(rng, split, a_thing=article(noun))
    return Question("existence", text, YES if there else NO, YES_NO, 1, template)


def _outermost(scene: Scene, rng: np.random.Generator) -> tuple[str, SceneObject] | None:
    """A word such as "leftmost" with the one object it can mean; None without a clear one."""
    if len(scene.objects) < 2:
        return None
    names = list(EXTREMES)
    for index in rng.permutation(len(names)):
        axis, sign = EXTREMES[names[index]]
        along = sorted(scene.objects, key=lambda thing: -sign * (thing.x_m, thing.y_m)[axis])
        first, second = ((thing.x_m, thing.y_m)[axis] for thing in along[:2])
        if abs(first - second) >= EXTREME_MARGIN_M:
            return names[index], along[0]
    return None


def _present(scene: Scene, rng: np.random.Generator) -> str | None:
    if not scene.objects:
        return None
    thing = scene.objects[int(rng.integers(len(scene.objects)))]
    return str(
        rng.choice([thing.name, thing.name, thing.name, f"{thing.colour} object", thing.shape])
    )


def _absent(scene: Scene, rng: np.random.Generator, split: Split) -> str | None:
    """Something that is not there, mostly sharing its colour or its shape with what is."""
    colours = {thing.colour for thing in scene.objects}
    shapes = {thing.shape for thing in scene.objects}
    level = rng.random()
    if level < 0.2:
        pool = [f"{each} object" for each in COLOURS if each not in colours]
    elif level < 0.4 and len(shapes) < len(SHAPES):
        pool = [each for each in SHAPES if each not in shapes]
    else:
        known = TRAINING_COMBINATIONS if split == "train" else _ALL
        missing = [pair for pair in known if pair not in scene.combinations]
        alike = [pair for pair in missing if pair[0] in colours or pair[1] in shapes]
        use = alike if alike and rng.random() < 0.7 else missing
        pool = [f"{a} {b}" for a, b in use]
    return pool[int(rng.integers(len(pool)))] if pool else None


_ALL = tuple((colour_, shape_) for colour_ in COLOURS for shape_ in SHAPES)
