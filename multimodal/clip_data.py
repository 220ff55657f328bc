"""Pictures with true and nearly true sentences, to train CLIP on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from multimodal.clip import PAD, text_ids
from multimodal.errors import DatasetError, TextError
from multimodal.landmarks import LandmarkPictures
from multimodal.language import (
    COLOURS,
    PROMPTS,
    SHAPES,
    Scene,
    caption,
    scene_prompt,
)
from multimodal.language.phrasing import HELD_OUT
from multimodal.language.question import article
from multimodal.language.vocabulary import (
    HALF_VIEW_M,
    TRAINING_COMBINATIONS,
    named_combinations,
)
from multimodal.pictures import Pictures, allowed_rows

__all__ = ["SLOTS", "CaptionedPictures", "allowed_rows", "combination", "prompt_ids", "token_at"]

SLOTS = 4
_CACHE = 50_000
_LONG = 24


def combination(colour: str, shape: str) -> int:
    """The number of a combination of colour and shape, 0 to 23."""
    return COLOURS.index(colour) * len(SHAPES) + SHAPES.index(shape)


def token_at(x_m: float, y_m: float, tokens: int) -> int:
    """Which of a square frame's tokens shows a point of the table."""
    side = round(tokens**0.5)
    column = int(np.clip((x_m / HALF_VIEW_M + 1) / 2 * side, 0, side - 1))
    row = int(np.clip((1 - y_m / HALF_VIEW_M) / 2 * side, 0, side - 1))
    return row * side + column


def prompt_ids(tokenizer: PreTrainedTokenizerBase, length: int) -> Tensor:
    """Every training prompt of every single object, as far as training may name it.

    Returns:
        int64 (templates, 28, length): the 18 combinations, the 6 colours of "a red object", and
        the 4 shapes of "a cube".
    """
    named = [f"{colour} {shape}" for colour, shape in TRAINING_COMBINATIONS]
    named += [f"{colour} object" for colour in COLOURS]
    named += SHAPES
    ids = [
        [text_ids(tokenizer, each.format(things=article(name)), length) for name in named]
        for each in PROMPTS[:-HELD_OUT]
    ]
    return torch.from_numpy(np.array(ids))


def _bits(pairs: set[tuple[str, str]]) -> int:
    return sum(1 << combination(*pair) for pair in pairs)


class CaptionedPictures(Dataset[dict[str, Any]]):
    """Frames with a true sentence and one that is wrong in a single word.

    Item i is a function of (seed, i) and the pictures alone. It holds "latents" float16 (N, C),
    "text" and "wrong" int64 (T,), "shown" and "named" int64 sets of combinations as bits (of the
    picture and of the text), "exact" bool: the text holds of every picture with just these
    objects; "places" int64 (4,) the token of each object, "things" int64 (4,) its combination among
    the 18 of training and "shapes" int64 (4,) its shape, -1 where there is none. An object in a
    colour without a name has a shape and is none of the 18. With `dense`, it also holds another
    picture as "dense_latents", "dense_changes" and "landmarks".

    Args:
        pictures: frames with their latents.
        tokenizer: of texts.
        split: "train" or "validation".
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        length: T.
        single: share of pictures with one object, where there are such.
        turned: pictures whose hues were turned, to learn shapes from; None for none.
        nameless: share of pictures with one object that are of those.
        dense: pictures with labels for every token, served beside; None for none.
    """

    def __init__(
        self,
        pictures: Pictures,
        tokenizer: PreTrainedTokenizerBase,
        split: str,
        seed: int,
        samples: int,
        length: int = 48,
        single: float = 0.5,
        turned: Pictures | None = None,
        nameless: float = 0.6,
        dense: LandmarkPictures | None = None,
    ) -> None:
        self.pictures, self.samples, self.dense = pictures, samples, dense
        self.seed, self.single, self.length = seed, single, length
        self.nameless = nameless
        numbers = pictures.numbers(split)
        count = (np.asarray(pictures.flat.state["object_shape"])[numbers] >= 0).sum(-1)
        self.numbers, self.singles = numbers[count > 0], numbers[count == 1]
        if not len(self.numbers):
            raise DatasetError(f"no frame of the split {split!r} shows an object; record some.")
        self.turned, self.turned_singles = turned, np.zeros(0, np.int64)
        if turned is not None:
            drawn = turned.numbers(split)
            alone = np.array([len(turned.scene(int(each)).objects) == 1 for each in drawn], bool)
            self.turned_singles = drawn[alone]
        self._ids = lru_cache(_CACHE)(lambda text: text_ids(tokenizer, text, length))

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.samples:
            raise IndexError(f"picture {index} of {self.samples}")
        item = self._captioned(np.random.default_rng([self.seed, index, 3]))
        if self.dense is not None:
            found = self.dense[index]
            item["dense_latents"], item["dense_changes"] = found["latents"], found["changes"]
            item["landmarks"] = found["landmarks"]
        return item

    def _captioned(self, rng: np.random.Generator) -> dict[str, Any]:
        one = len(self.singles) and rng.random() < self.single
        if one and len(self.turned_singles) and rng.random() < self.nameless:
            assert self.turned is not None
            return self._nameless(self.turned, int(rng.choice(self.turned_singles)), rng)
        number = int(rng.choice(self.singles if one else self.numbers))
        scene = self.pictures.scene(number)
        text, exact = self._said(scene, rng)
        named = named_combinations(text)
        places, things = self._objects(scene)
        return {
            "latents": np.array(self.pictures.latents[number]),
            "text": self._ids(text),
            "wrong": self._ids(_spoiled(text, scene, rng)),
            "shown": _bits(scene.combinations),
            "named": _bits(named),
            "exact": exact,
            "places": places,
            "things": things,
            "shapes": np.array([_shape_of(thing) for thing in things]),
        }

    def _nameless(self, turned: Pictures, number: int, rng: np.random.Generator) -> dict[str, Any]:
        """A picture with its object in a nameless colour, and its shape in words."""
        (thing,) = turned.scene(number).objects
        latents = np.array(turned.latents[number])
        template = PROMPTS[int(rng.integers(len(PROMPTS) - HELD_OUT))]
        other = str(rng.choice([shape for shape in SHAPES if shape != thing.shape]))
        places, shapes = np.zeros(SLOTS, np.int64), np.full(SLOTS, -1, np.int64)
        places[0] = token_at(thing.x_m, thing.y_m, len(latents))
        shapes[0] = SHAPES.index(thing.shape)
        return {
            "latents": latents,
            "text": self._ids(template.format(things=article(thing.shape))),
            "wrong": self._ids(template.format(things=article(other))),
            "shown": 0,
            "named": 0,
            "exact": False,
            "places": places,
            "things": np.full(SLOTS, -1, np.int64),
            "shapes": shapes,
        }

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Several pictures at once."""
        return [self[index] for index in indices]

    def _said(self, scene: Scene, rng: np.random.Generator) -> tuple[str, bool]:
        """A sentence that names objects, and whether it names just them and nothing else."""
        kind = rng.random()
        if kind < 0.5:
            said = caption(scene, rng, complete=bool(kind < 0.3))
            if said is not None and named_combinations(said.text) and self._fits(said.text):
                return said.text, said.template.startswith("caption.complete")
        return scene_prompt(scene, rng), True

    def _fits(self, text: str) -> bool:
        """Whether a sentence is short; one long sentence makes the whole batch dear."""
        try:
            return int((self._ids(text) != PAD).sum()) <= _LONG
        except TextError:
            return False

    def _objects(self, scene: Scene) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        places, things = np.zeros(SLOTS, np.int64), np.full(SLOTS, -1, np.int64)
        for slot, thing in enumerate(scene.objects[:SLOTS]):
            places[slot] = token_at(thing.x_m, thing.y_m, self.pictures.latents.shape[1])
            things[slot] = TRAINING_COMBINATIONS.index((thing.colour, thing.shape))
        return places, things


def _shape_of(thing: int) -> int:
    """The shape of one of the 18 combinations; -1 for none."""
    return -1 if thing < 0 else SHAPES.index(TRAINING_COMBINATIONS[thing][1])


def _spoiled(text: str, scene: Scene, rng: np.random.Generator) -> str:
    """The text with one colour or one shape exchanged, so that it is wrong of the scene."""
    named = sorted(named_combinations(text))
    colour, shape = named[int(rng.integers(len(named)))]
    near = [
        pair
        for pair in TRAINING_COMBINATIONS
        if (pair[0] == colour) != (pair[1] == shape) and pair not in scene.combinations
    ]
    other = " ".join(near[int(rng.integers(len(near)))])
    this = f"{colour} {shape}"
    pattern = re.compile(rf"\b({re.escape(article(this))}|{re.escape(this)})\b")
    return pattern.sub(lambda m: other if m[0] == this else article(other), text, count=1)
