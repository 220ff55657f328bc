"""Pairs of a true and a wrong answer: descriptions and answers to other questions.

The wrong descriptions are the model's own: drawn from it, and kept where they name what the scene
has not, leave something out or name it twice. A model can only unlearn what it would have said.
Questions of other kinds go with them, so that what is learnt of descriptions costs no other answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from multimodal.errors import DatasetError
from multimodal.language import TRAINING_COMBINATIONS, Scene, ask, in_training
from multimodal.language.question import article
from multimodal.pictures import Pictures
from multimodal.text_tokenizer import decode_ids
from multimodal.vlm.descriptions import describe, description, mistakes
from multimodal.vlm.generate import generate
from multimodal.vlm.model import VlmModel
from multimodal.vlm.questioned import QuestionedPictures
from multimodal.vlm.turns import assemble, collate_rows, turn_of

__all__ = ["KEPT", "Preference", "PreferencePairs", "collate_pairs", "draw_preferences"]

KEPT = "kept_"
"""Before the names of what belongs to the rows of questions."""
_BATCH = 32
_TOKENS = 40
_QUESTIONS = 2
_KINDS = ("existence", "existence", "count", "relation", "relation", "position", "nearest")


@dataclass(frozen=True)
class Preference:
    """A frame, a question, what should be said, and what should not.

    Attributes:
        row: number of the frame.
        question: in words.
        chosen: the true answer.
        rejected: a false one.
    """

    row: int
    question: str
    chosen: str
    rejected: str


@torch.no_grad()
def draw_preferences(
    model: VlmModel,
    tokenizer: PreTrainedTokenizerBase,
    pictures: Pictures,
    frames: int,
    seed: int,
    split: str = "train",
    temperature: float = 1.0,
) -> list[Preference]:
    """Pairs about frames of a split.

    Args:
        model: whose wrong descriptions, with false, missing or doubled objects, are rejected.
        tokenizer: of texts.
        pictures: a dataset.
        frames: so many frames are described; into what is right of them a false object is put.
        seed: of frames, questions and draws.
        split: "train" or "validation".
        temperature: of the drawn descriptions.

    Raises:
        DatasetError: no frame shows an object.
    """
    rng = np.random.default_rng([seed, 17])
    generator = torch.Generator().manual_seed(seed)
    pairs: list[Preference] = []
    rows = rng.choice(pictures.numbers(split), frames)
    for part in np.array_split(rows, max(1, frames // _BATCH)):
        scenes = [pictures.scene(int(row)) for row in part]
        kept = [(int(r), s) for r, s in zip(part, scenes, strict=True) if s.objects]
        by_length: dict[int, list[tuple[int, Scene, str, list[int]]]] = {}
        for row, scene in kept:
            question = describe(rng)
            turn = turn_of(tokenizer, question, None, 1, model.marks.eos)
            ids = assemble([turn], 1, model.frame_tokens, model.marks)["ids"].tolist()
            by_length.setdefault(len(ids), []).append((row, scene, question, ids))
        for group in by_length.values():
            seen = torch.from_numpy(pictures.glances([row for row, *_ in group])).float()
            said = generate(
                model,
                torch.tensor([ids for *_, ids in group]),
                seen,
                _TOKENS,
                temperature=temperature,
                generator=generator,
            )
            for (row, scene, question, _), ids in zip(group, said, strict=True):
                text = decode_ids(tokenizer, ids).strip()
                # Of combinations that training never shows not even that one is wrong is learnt.
                if not any(mistakes(text, scene)) or not in_training(text):
                    text = _with_false_object(scene, rng)
                pairs.append(Preference(row, question, description(scene), text))
                pairs += _answers(row, scene, rng)
    if not pairs:
        raise DatasetError(f"no frame in {pictures.flat.path} shows an object; record some.")
    return pairs


def _with_false_object(scene: Scene, rng: np.random.Generator) -> str:
    """The true description with one object exchanged for one that is not there."""
    things = [thing.name for thing in sorted(scene.objects, key=lambda t: (t.x_m, t.y_m))]
    place = int(rng.integers(len(things)))
    colour, shape = things[place].split(" ")
    near = [
        pair
        for pair in TRAINING_COMBINATIONS
        if (pair[0] == colour) != (pair[1] == shape) and pair not in scene.combinations
    ]
    things[place] = " ".join(near[int(rng.integers(len(near)))])
    return ", ".join(article(thing) for thing in things)


def _answers(row: int, scene: Scene, rng: np.random.Generator) -> list[Preference]:
    """Questions about a frame, each with its answer and another of its choices."""
    pairs = []
    for kind in rng.choice(_KINDS, _QUESTIONS):
        question = ask(str(kind), [scene], rng)
        others = [c for c in question.choices if c != question.answer] if question else []
        # Of combinations that training never shows nothing is learnt, not even that one is wrong.
        others = [each for each in others if in_training(each)]
        if question is not None and others:
            wrong = others[int(rng.integers(len(others)))]
            pairs.append(Preference(row, question.text, question.answer, wrong))
    return pairs


class PreferencePairs(Dataset[dict[str, Any]]):
    """Preferences as two rows each, for `collate_pairs`, and beside each a row of questions.

    Args:
        pairs: the preferences.
        pictures: the dataset that they are about.
        tokenizer: of texts.
        model: whose layout of rows is used.
        kept: questions as instruction tuning asks them, so that their answers are not unlearnt;
            None for none.
    """

    def __init__(
        self,
        pairs: Sequence[Preference],
        pictures: Pictures,
        tokenizer: PreTrainedTokenizerBase,
        model: VlmModel,
        kept: QuestionedPictures | None = None,
    ) -> None:
        self.kept = kept
        self.pairs, self.pictures = list(pairs), pictures
        self.tokenizer, self.marks, self.frame_tokens = tokenizer, model.marks, model.frame_tokens

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pair = self.pairs[index]
        glances = self.pictures.glances([pair.row])
        item = {
            name: self._laid(pair.question, answer) | {"glances": glances}
            for name, answer in (("chosen", pair.chosen), ("rejected", pair.rejected))
        }
        return item if self.kept is None else item | {"kept": self.kept[index]}

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Several pairs at once."""
        return [self[index] for index in indices]

    def _laid(self, question: str, answer: str) -> dict[str, Any]:
        turn = turn_of(self.tokenizer, question, answer, 1, self.marks.eos)
        return assemble([turn], 1, self.frame_tokens, self.marks)


def collate_pairs(samples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """A batch as `collate_rows` makes it, of 2B rows: all chosen ones, then all rejected ones.

    Rows of questions come beside them, under the same names with KEPT before.
    """
    pairs = [sample[name] for name in ("chosen", "rejected") for sample in samples]
    batch = collate_rows(pairs)
    if "kept" in samples[0]:
        kept = collate_rows([sample["kept"] for sample in samples])
        batch |= {KEPT + name: value for name, value in kept.items()}
    return batch
