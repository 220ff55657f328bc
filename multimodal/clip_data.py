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
from multimodal.things import Things

__all__ = [
    "SLOTS",
    "CaptionedPictures",
    "allowed_rows",
    "combination",
    "prompt_ids",
    "slot_at",
    "token_at",
]

SLOTS = 4
_CACHE = 50_000
_LONG = 24
# Three pixels of 64: the reader of layers is off by half of one, bodies are further apart.
_NEAR = 6 / 64


def combination(colour: str, shape: str) -> int:
    """The number of a combination of colour and shape, 0 to 23."""
    return COLOURS.index(colour) * len(SHAPES) + SHAPES.index(shape)


def token_at(x_m: float, y_m: float, tokens: int) -> int:
    """Which of a square frame's tokens shows a point of the table."""
    side = round(tokens**0.5)
    column = int(np.clip((x_m / HALF_VIEW_M + 1) / 2 * side, 0, side - 1))
    row = int(np.clip((1 - y_m / HALF_VIEW_M) / 2 * side, 0, side - 1))
    return row * side + column


def slot_at(x_m: float, y_m: float, things_KT: NDArray[Any]) -> int | None:
    """Which of a frame's things is an object at a point of the table; None where none is there."""
    found = Things.of(torch.from_numpy(np.asarray(things_KT, np.float32))[None])
    point = torch.tensor([x_m / HALF_VIEW_M, -y_m / HALF_VIEW_M])
    apart = (found.place[0] - point).norm(dim=-1)
    free = (found.present[0, :, 0] > 0.5) & (found.driven[0, :, 0] < 0.5)
    nearest = int(apart.masked_fill(~free, torch.inf).argmin())
    return nearest if bool(free[nearest]) and float(apart[nearest]) < _NEAR else None


def named_things(pictures: Pictures, number: int) -> NDArray[np.int64]:
    """Shape and colour of each thing that was cut out of a frame.

    Returns:
        int64 (K, 2), places in SHAPES and COLOURS, -1 for a thing without a name or an empty slot.
    """
    cut = pictures.things
    named = np.full((pictures.layout.slots, 2), -1, np.int64)
    if cut is None:
        return named
    for thing in pictures.scene(number).objects:
        if (slot := slot_at(thing.x_m, thing.y_m, cut[number])) is not None:
            named[slot] = SHAPES.index(thing.shape), COLOURS.index(thing.colour)
    return named


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

    Item i is a function of (seed, i) and the pictures alone. It holds "glances" float16 (P,),
    "text" and "wrong" int64 (T,), "shown" and "named" int64 sets of combinations as bits (of the
    picture and of the text), "exact" bool: the text holds of every picture with just these
    objects; "places" int64 (4,) the tower's feature of each object, "things" int64 (4,) its
    combination among the 18 of training, -1 where there is none. With `dense`, it also holds
    another picture as "dense" and "landmarks".

    Args:
        pictures: frames of a dataset.
        tokenizer: of texts.
        split: "train" or "validation".
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        length: T.
        single: share of pictures with one object, where there are such.
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
        dense: LandmarkPictures | None = None,
    ) -> None:
        self.pictures, self.samples, self.dense = pictures, samples, dense
        self.seed, self.single, self.length = seed, single, length
        numbers = pictures.numbers(split)
        count = (np.asarray(pictures.flat.state["object_shape"])[numbers] >= 0).sum(-1)
        self.numbers, self.singles = numbers[count > 0], numbers[count == 1]
        if not len(self.numbers):
            raise DatasetError(f"no frame of the split {split!r} shows an object; record some.")
        self._ids = lru_cache(_CACHE)(lambda text: text_ids(tokenizer, text, length))

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.samples:
            raise IndexError(f"picture {index} of {self.samples}")
        item = self._captioned(np.random.default_rng([self.seed, index, 3]))
        if self.dense is not None:
            found = self.dense[index]
            item |= {"dense": found["glances"], "landmarks": found["landmarks"]}
        return item

    def _captioned(self, rng: np.random.Generator) -> dict[str, Any]:
        one = len(self.singles) and rng.random() < self.single
        number = int(rng.choice(self.singles if one else self.numbers))
        scene = self.pictures.scene(number)
        text, exact = self._said(scene, rng)
        places, things = self._objects(number, scene)
        return {
            "glances": self.pictures.glances([number])[0],
            "text": self._ids(text),
            "wrong": self._ids(_spoiled(text, scene, rng)),
            "shown": _bits(scene.combinations),
            "named": _bits(named_combinations(text)),
            "exact": exact,
            "places": places,
            "things": things,
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

    def _objects(self, number: int, scene: Scene) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        places, things = np.zeros(SLOTS, np.int64), np.full(SLOTS, -1, np.int64)
        tokens, cut = self.pictures.layout.tokens, self.pictures.things
        for place, thing in enumerate(scene.objects[:SLOTS]):
            slot = None if cut is None else slot_at(thing.x_m, thing.y_m, cut[number])
            grid = token_at(thing.x_m, thing.y_m, tokens)
            places[place] = grid if slot is None else tokens + slot
            things[place] = TRAINING_COMBINATIONS.index((thing.colour, thing.shape))
        return places, things


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
