"""Sentences that describe a scene: complete and partial captions, and prompts for CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from multimodal.errors import ConfigError
from multimodal.language.about_places import QUARTER_MARGIN_M, RELATION_MARGIN_M
from multimodal.language.phrasing import Family
from multimodal.language.question import article
from multimodal.language.scene import Scene, SceneObject
from multimodal.language.vocabulary import COLOURS, PLURALS, SHAPES, Split

__all__ = ["PROMPTS", "Caption", "draw_caption", "prompt", "scene_prompt"]

PROMPTS: Final = (
    "a photo of {things}",
    "a picture of {things}",
    "an image of {things}",
    "{things} on a table",
    "a photo of {things} on a table",
    "a picture of {things} on a table",
    "a table with {things}",
    "a photo of a table with {things}",
    "this is {things}",
    "there is {things} on the table",
    "an image of a table with {things}",
    "this is a picture of {things}",
)

_PROMPTS = Family("caption.prompt", PROMPTS)
_ALL = Family(
    "caption.complete",
    (
        "A table with {things}.",
        "There is a table with {things} on it.",
        "On the table you see {things}.",
        "The table holds {things}.",
        "A picture of a table with {things}.",
        "Seen from above: {things} on a table.",
        "On the table: {things}.",
        "A camera looks down on {things}.",
        "You see {things} on a table.",
        "A table from above, with {things} on it.",
        "The picture shows {things} on a table.",
        "Seen from above, the table holds {things}.",
        "You see a table from above, with {things}.",
    ),
)
_WITH_PLACES = Family(
    "caption.places",
    (
        "A table with {placed}.",
        "There is a table with {placed}.",
        "On the table you see {placed}.",
        "The table holds {placed}.",
        "A picture of a table with {placed}.",
        "Seen from above: {placed}.",
        "On the table: {placed}.",
        "A camera looks down on {placed}.",
        "You see {placed}.",
        "A table from above, with {placed}.",
        "The picture shows {placed}.",
        "Seen from above, the table holds {placed}.",
        "You see a table from above, with {placed}.",
    ),
)
_PART = Family(
    "caption.part",
    (
        "There is {thing} on the table.",
        "Among the objects is {thing}.",
        "You see {thing}.",
        "One of the objects is {thing}.",
        "The table holds {thing}.",
        "A picture with {thing}.",
        "A table and on it {thing}.",
        "The picture shows {thing}.",
        "Here is {thing}.",
        "On the table is {thing}.",
        "Here you see {thing}.",
        "Among the objects on the table is {thing}.",
    ),
)
_RELATED = Family(
    "caption.related",
    (
        "The {a} is {relation} the {b}.",
        "The {a} lies {relation} the {b}.",
        "The {a} stands {relation} the {b}.",
        "Look for the {a} {relation} the {b}.",
        "You see the {a} {relation} the {b}.",
        "On the table the {a} is {relation} the {b}.",
        "In this picture the {a} is {relation} the {b}.",
        "The picture shows the {a} {relation} the {b}.",
        "A table on which the {a} is {relation} the {b}.",
        "Look: the {a} is {relation} the {b}.",
        "On the table the {a} lies {relation} the {b}.",
        "In this picture the {a} stands {relation} the {b}.",
    ),
)
_COUNTED = Family(
    "caption.counted",
    (
        "There are {number} on the table.",
        "A table with {number}.",
        "You see {number}.",
        "The table holds {number}.",
        "A picture of {number}.",
        "On the table are {number}.",
        "Seen from above: {number}.",
        "The picture shows {number}.",
        "A camera looks down on {number}.",
        "Here are {number}.",
        "Here you see {number}.",
        "The picture shows a table with {number}.",
    ),
)
_NUMBERS = ("no", "one", "two", "three", "four")


@dataclass(frozen=True)
class Caption:
    """A true sentence about a scene.

    Attributes:
        text: the sentence.
        template: which paraphrase it is.
        complete: whether it names every object.
    """

    text: str
    template: str
    complete: bool


def prompt(colour: str, shape: str, template: int = 0) -> str:
    """What CLIP is asked about one object, such as "a photo of a red cube".

    Args:
        colour: one of COLOURS.
        shape: one of SHAPES.
        template: which of PROMPTS; the last two are held out of training.

    Raises:
        ConfigError: a colour, shape or template that does not exist.
    """
    if colour not in COLOURS or shape not in SHAPES or not 0 <= template < len(PROMPTS):
        raise ConfigError(
            f"there is no prompt {template} for {colour!r}, {shape!r}; colours are "
            f"{', '.join(COLOURS)}, shapes {', '.join(SHAPES)}, prompts 0 to {len(PROMPTS) - 1}."
        )
    return PROMPTS[template].format(things=article(f"{colour} {shape}"))


def scene_prompt(
    scene: Scene, rng: np.random.Generator | None = None, *, split: Split = "train"
) -> str:
    """The prompt for a whole scene: "a photo of a red cube and a blue ball".

    Args:
        scene: the scene; it has an object.
        rng: shuffles the objects and chooses the prompt; None keeps the order and the first one.
        split: which prompts may be chosen.
    """
    things = list(scene.objects)
    if rng is None:
        return PROMPTS[0].format(things=_listed([article(thing.name) for thing in things]))
    return _PROMPTS.draw(rng, split, things=_names(things, rng))[0]


def draw_caption(
    scene: Scene, rng: np.random.Generator, split: Split, complete: bool | None
) -> Caption | None:
    """A true sentence about the scene; None where such a one cannot be said unambiguously."""
    if not scene.objects:
        return None
    if complete is None:
        complete = rng.random() < 0.5
    if complete:
        return _complete(scene, rng, split)
    pattern = rng.random()
    if pattern < 0.4:
        thing = scene.objects[int(rng.integers(len(scene.objects)))]
        text, template = _PART.draw(rng, split, thing=article(thing.name))
        return Caption(text, template, len(scene.objects) == 1)
    if pattern < 0.6:
        text, template = _COUNTED.draw(rng, split, number=_counted(scene, rng))
        return Caption(text, template, False)
    return _related(scene, rng, split)


def _complete(scene: Scene, rng: np.random.Generator, split: Split) -> Caption:
    if rng.random() < 0.5:
        text, template = _ALL.draw(rng, split, things=_names(scene.objects, rng))
    else:
        order = rng.permutation(len(scene.objects))
        placed = [_placed(scene.objects[index]) for index in order]
        text, template = _WITH_PLACES.draw(rng, split, placed=_listed(placed))
    return Caption(text, template, True)


def _related(scene: Scene, rng: np.random.Generator, split: Split) -> Caption | None:
    if len(scene.objects) < 2:
        return None
    first, second = rng.choice(len(scene.objects), 2, replace=False)
    a, b = scene.objects[first], scene.objects[second]
    true = []
    if abs(a.x_m - b.x_m) >= RELATION_MARGIN_M:
        true.append("left of" if a.x_m < b.x_m else "right of")
    if abs(a.y_m - b.y_m) >= RELATION_MARGIN_M:
        true.append("below" if a.y_m < b.y_m else "above")
    if not true:
        return None
    relation = true[int(rng.integers(len(true)))]
    text, template = _RELATED.draw(rng, split, a=a.name, b=b.name, relation=relation)
    return Caption(text, template, len(scene.objects) == 2)


def _counted(scene: Scene, rng: np.random.Generator) -> str:
    """How many objects, or how many of one shape that is there."""
    shapes = [thing.shape for thing in scene.objects]
    shape = shapes[int(rng.integers(len(shapes)))] if rng.random() < 0.5 else "object"
    number = shapes.count(shape) if shape in PLURALS else len(shapes)
    noun = PLURALS.get(shape, "objects") if number > 1 else shape
    return f"{_NUMBERS[number]} {noun}"


def _placed(thing: SceneObject) -> str:
    """The object with where it is, as far as that is clear."""
    along = "" if abs(thing.y_m) < QUARTER_MARGIN_M else "top " if thing.y_m > 0 else "bottom "
    across = "" if abs(thing.x_m) < QUARTER_MARGIN_M else "left" if thing.x_m < 0 else "right"
    where = (along + across).strip()
    return f"{article(thing.name)} at the {where}" if where else article(thing.name)


def _names(things: Sequence[SceneObject], rng: np.random.Generator) -> str:
    return _listed([article(things[index].name) for index in rng.permutation(len(things))])


def _listed(words: Sequence[str]) -> str:
    if not words:
        raise ConfigError("the scene has no object to name; choose a scene with one.")
    return " and ".join([", ".join(words[:-1])] * (len(words) > 1) + [words[-1]])
