"""One way to ask: a kind of question, the frames seen, a source of randomness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from multimodal.errors import ConfigError, StateError
from multimodal.language.about_motion import moved, success
from multimodal.language.about_objects import colour, count, existence, shape
from multimodal.language.about_places import nearest, position, relation
from multimodal.language.about_print import chart, reading
from multimodal.language.captions import Caption, draw_caption
from multimodal.language.held_out import in_training
from multimodal.language.question import Question
from multimodal.language.scene import Scene
from multimodal.language.vocabulary import Split

__all__ = ["KINDS", "OPENINGS", "STILL_KINDS", "ask", "caption"]

OPENINGS: Final = (
    "Look at the picture. ",
    "Look at the table. ",
    "Here is a picture. ",
    "There is a table. ",
    "Here is the table. ",
    "Tell me: ",
)
"""What may come before a question of training, so that two sentences confuse no more than one."""
_OPENED: Final = 0.15

_Still = Callable[[Scene, np.random.Generator, Split], Question | None]

_STILL: Final[dict[str, _Still]] = {
    "count": count,
    "colour": colour,
    "shape": shape,
    "relation": relation,
    "nearest": nearest,
    "position": position,
    "existence": existence,
    "reading": reading,
    "chart": chart,
}
STILL_KINDS: Final[tuple[str, ...]] = tuple(_STILL)
KINDS: Final[tuple[str, ...]] = (*STILL_KINDS, "moved", "success")


def ask(
    kind: str,
    scenes: Sequence[Scene],
    rng: np.random.Generator,
    *,
    split: Split = "train",
    future: Sequence[Scene] = (),
) -> Question | None:
    """A question of a kind about the frames seen, with its answer.

    Args:
        kind: one of KINDS. A still kind asks about the last frame, "moved" compares the first with
            the last, "success" takes four frames in a row.
        scenes: the frames seen, oldest first.
        rng: chooses object and paraphrase; the same state of it gives the same question.
        split: which paraphrases. "train" asks nothing of a scene that shows a held-out combination
            and never names one; some of its questions begin with one of OPENINGS.
        future: the frames after those seen, for "success".

    Returns:
        The question, or None where nothing of this kind can be asked unambiguously.

    Raises:
        ConfigError: no such kind or split.
        StateError: too few frames for the kind, or frames of different scenes.
    """
    _require(split)
    if kind not in KINDS:
        raise ConfigError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}.")
    if not scenes:
        raise StateError(f"a question of kind {kind!r} needs a frame; pass at least one scene.")
    if split == "train" and not in_training(scenes[-1]):
        return None
    if kind == "moved":
        question = moved(scenes, rng, split)
    elif kind == "success":
        question = success(scenes, future, rng, split)
    else:
        question = _STILL[kind](scenes[-1], rng, split)
    if question is not None and split == "train" and rng.random() < _OPENED:
        return replace(question, text=str(rng.choice(OPENINGS)) + question.text)
    return question


def caption(
    scene: Scene,
    rng: np.random.Generator,
    *,
    split: Split = "train",
    complete: bool | None = None,
) -> Caption | None:
    """A true sentence about a scene.

    Args:
        scene: the scene.
        rng: chooses what is said and how.
        split: which paraphrases; "train" says nothing of a scene with a held-out combination.
        complete: True names every object, False says something of some, None tosses a coin.

    Returns:
        The caption, or None where the scene has none: no objects, or none clear enough.

    Raises:
        ConfigError: no such split.
    """
    _require(split)
    if split == "train" and not in_training(scene):
        return None
    return draw_caption(scene, rng, split, complete)


def _require(split: str) -> None:
    if split not in ("train", "held_out", "any"):
        raise ConfigError(f'split is {split!r}; expected "train", "held_out" or "any".')
