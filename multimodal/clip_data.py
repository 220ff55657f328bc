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
from multimodal.flat import FlatEpisodes
from multimodal.language import (
    COLOURS,
    PROMPTS,
    SHAPES,
    Scene,
    caption,
    scene_prompt,
    shows_held_out,
)
from multimodal.language.phrasing import HELD_OUT
from multimodal.language.question import article
from multimodal.language.scene import SceneObject
from multimodal.language.vocabulary import (
    HALF_VIEW_M,
    TRAINING_COMBINATIONS,
    named_combinations,
)
from multimodal.recolour import recoloured
from multimodal.tokenizer import VideoTokenizer

__all__ = ["SLOTS", "CaptionedPictures", "allowed_rows", "combination", "prompt_ids", "token_at"]

SLOTS = 4
_CACHE = 50_000
_LONG = 24


def allowed_rows(flat: FlatEpisodes, split: str) -> NDArray[np.int64]:
    """Numbers of the frames of a split that show no held-out combination.

    Raises:
        DatasetError: there is none.
    """
    episodes = flat.episodes(split)
    rows = np.concatenate(
        [np.arange(flat.starts[e], flat.starts[e + 1]) for e in episodes] or [np.zeros(0, int)]
    )
    rows = rows[~shows_held_out(flat.state)[rows]]
    if not len(rows):
        raise DatasetError(
            f"{flat.path} has no frame of the split {split!r} without a held-out combination; "
            "record more episodes."
        )
    return rows


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

    Item i is a function of (seed, i) and the dataset alone. It holds "latents" float16 (N, C),
    "text" and "wrong" int64 (T,), "shown" and "named" int64 sets of combinations as bits (of the
    picture and of the text), "exact" bool: the text holds of every picture with just these
    objects; "places" int64 (4,) the token of each object, "things" int64 (4,) its combination among
    the 18 of training and "shapes" int64 (4,) its shape, -1 where there is none. An object in a
    colour without a name has a shape and is none of the 18.

    Args:
        flat: the dataset.
        latents: its latents, float16 (F, N, C).
        tokenizer: of texts.
        split: "train" or "validation".
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        length: T.
        single: share of pictures with one object, where there are such.
        trunk: encodes pictures that are recoloured; without it none are.
        nameless: share of pictures with one object that show it in a colour without a name, to
            learn shapes from.
    """

    def __init__(
        self,
        flat: FlatEpisodes,
        latents: NDArray[np.float16],
        tokenizer: PreTrainedTokenizerBase,
        split: str,
        seed: int,
        samples: int,
        length: int = 48,
        single: float = 0.5,
        trunk: VideoTokenizer | None = None,
        nameless: float = 0.6,
    ) -> None:
        self.flat, self.latents, self.samples = flat, latents, samples
        self.seed, self.single, self.length = seed, single, length
        self.trunk, self.nameless = trunk, nameless
        rows = allowed_rows(flat, split)
        count = (np.asarray(flat.state["object_shape"])[rows] >= 0).sum(-1)
        self.rows, self.single_rows = rows[count > 0], rows[count == 1]
        if not len(self.rows):
            raise DatasetError(f"no frame of the split {split!r} shows an object; record some.")
        self._ids = lru_cache(_CACHE)(lambda text: text_ids(tokenizer, text, length))

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.samples:
            raise IndexError(f"picture {index} of {self.samples}")
        rng = np.random.default_rng([self.seed, index, 3])
        one = len(self.single_rows) and rng.random() < self.single
        row = int(rng.choice(self.single_rows if one else self.rows))
        scene = Scene.from_state(self.flat.state, row)
        if one and self.trunk is not None and rng.random() < self.nameless:
            return self._nameless(row, scene.objects[0], self.trunk, rng)
        text, exact = self._said(scene, rng)
        named = named_combinations(text)
        places, things = self._objects(scene)
        return {
            "latents": torch.from_numpy(np.array(self.latents[row])),
            "text": self._ids(text),
            "wrong": self._ids(_spoiled(text, scene, rng)),
            "shown": _bits(scene.combinations),
            "named": _bits(named),
            "exact": exact,
            "places": places,
            "things": things,
            "shapes": np.array([_shape_of(thing) for thing in things]),
        }

    def _nameless(
        self, row: int, thing: SceneObject, trunk: VideoTokenizer, rng: np.random.Generator
    ) -> dict[str, Any]:
        """The picture with its object in a nameless colour, and its shape in words."""
        frame = recoloured(np.array(self.flat.frames[row]), thing.x_m, thing.y_m, rng)
        with torch.no_grad():
            latents = trunk.encode(torch.from_numpy(frame)[None, None])[0, 0]
        template = PROMPTS[int(rng.integers(len(PROMPTS) - HELD_OUT))]
        other = str(rng.choice([shape for shape in SHAPES if shape != thing.shape]))
        places, shapes = np.zeros(SLOTS, np.int64), np.full(SLOTS, -1, np.int64)
        places[0] = token_at(thing.x_m, thing.y_m, self.latents.shape[1])
        shapes[0] = SHAPES.index(thing.shape)
        return {
            "latents": latents.half().cpu(),
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
            places[slot] = token_at(thing.x_m, thing.y_m, self.latents.shape[1])
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
