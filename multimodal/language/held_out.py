"""What is kept out of training: whole scenes, whole paraphrases, whole combinations.

A scene is held out where its episode is, or where it shows a held-out combination of colour and
shape. A text is held out where its paraphrase is, or where it names such a combination.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import StateError
from multimodal.language.captions import Caption
from multimodal.language.phrasing import is_held_out_template
from multimodal.language.question import Question
from multimodal.language.scene import Scene
from multimodal.language.vocabulary import (
    COLOURS,
    HELD_OUT_COMBINATIONS,
    SHAPES,
    named_combinations,
)

__all__ = ["HELD_OUT", "in_training", "shows_held_out"]

HELD_OUT = np.array(
    [[(colour, shape) in HELD_OUT_COMBINATIONS for shape in SHAPES] for colour in COLOURS]
)
"""Which combinations are held out, bool (COLOURS, SHAPES)."""


def in_training(item: Scene | Question | Caption | str, *, episode_split: str = "train") -> bool:
    """Whether something may be trained on; what may not is for evaluation.

    Args:
        item: a scene, a question, a caption, or any text.
        episode_split: the split of the episode it comes from.
    """
    if episode_split != "train":
        return False
    if isinstance(item, Scene):
        return not item.combinations & HELD_OUT_COMBINATIONS
    if isinstance(item, str):
        return not named_combinations(item) & HELD_OUT_COMBINATIONS
    spoken = [item.text, item.answer] if isinstance(item, Question) else [item.text]
    named = {pair for text in spoken for pair in named_combinations(text)}
    return not named & HELD_OUT_COMBINATIONS and not is_held_out_template(item.template)


def shows_held_out(state: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Which frames show a held-out combination.

    Args:
        state: named state of F frames, `object_colour` and `object_shape` int (F, slots).

    Returns:
        bool (F,).

    Raises:
        StateError: the state has no objects.
    """
    if not {"object_colour", "object_shape"} <= state.keys():
        raise StateError(
            "the state lacks object_colour or object_shape; only Push worlds have what can be "
            "held out by combination."
        )
    colour = np.asarray(state["object_colour"])
    shape = np.asarray(state["object_shape"])
    shown: NDArray[np.bool_] = ((shape >= 0) & HELD_OUT[colour, shape]).any(axis=-1)
    return shown
