"""Requests for a description, the true one, and what is wrong with another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from multimodal.language import Scene, Split
from multimodal.language.phrasing import Family
from multimodal.language.question import article
from multimodal.language.vocabulary import listed_combinations

__all__ = ["Mistakes", "describe", "description", "mistakes"]

_DESCRIBE = Family(
    "describe.objects",
    (
        "Describe the picture.",
        "What is on the table?",
        "Describe what you see.",
        "What do you see?",
        "Describe the table.",
        "Name all objects.",
        "Tell me what is on the table.",
        "Tell me what you see.",
        "List the objects on the table.",
        "Which objects are on the table?",
        "Describe what is on the table.",
        "Tell me which objects you see.",
    ),
)


def describe(rng: np.random.Generator, split: Split = "train") -> str:
    """A request for a description; some of them are held out like other paraphrases."""
    return _DESCRIBE.draw(rng, split)[0]


def description(scene: Scene) -> str:
    """All objects of a scene from left to right: "a red cube, a blue ball"; or "nothing".

    One order, so that only what is there decides what is said.
    """
    things = sorted(scene.objects, key=lambda thing: (thing.x_m, thing.y_m))
    return ", ".join(article(thing.name) for thing in things) or "nothing"


class Mistakes(NamedTuple):
    """What is wrong with a description.

    Attributes:
        false: objects that it names and the scene has not.
        missing: objects of the scene that it does not name.
        doubled: names that it says once more.
    """

    false: int
    missing: int
    doubled: int


def mistakes(text: str, scene: Scene) -> Mistakes:
    """What is wrong with a description of a scene; nothing with one in another order."""
    listed = listed_combinations(text)
    named = set(listed)
    return Mistakes(
        len(named - scene.combinations), len(scene.combinations - named), len(listed) - len(named)
    )
