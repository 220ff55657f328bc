"""Frames of any size with a few questions that have closed answers, made on the fly from state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from multimodal.clip_data import allowed_rows
from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.language import COLOURS, SHAPES, Scene, Split, ask
from multimodal.text_tokenizer import encode_text

__all__ = ["ANSWERS", "ASKED_KINDS", "AskedFrames"]

ASKED_KINDS = ("colour", "shape", "count", "existence")
ANSWERS = (*COLOURS, *SHAPES, "0", "1", "2", "3", "4", "yes", "no")
_NONE = -100


class AskedFrames(Dataset[dict[str, Any]]):
    """Images with Q questions each; item i is a function of (seed, i) and the dataset alone.

    It holds "frames" uint8 (H, W, 3), "questions" int64 (Q, T) padded with zeros, "answers" int64
    (Q,) into ANSWERS, and "kinds" int64 (Q,) into ASKED_KINDS; -100 where nothing can be asked.

    Args:
        flat: the dataset.
        tokenizer: of texts.
        split: whose episodes.
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        questions: Q.
        length: T.
        paraphrases: how it is asked; "train" shows no held-out combination.

    Raises:
        DatasetError: the split has no frame to ask about.
    """

    def __init__(
        self,
        flat: FlatEpisodes,
        tokenizer: PreTrainedTokenizerBase,
        split: str,
        seed: int,
        samples: int,
        questions: int = 8,
        length: int = 24,
        paraphrases: Split = "train",
    ) -> None:
        self.flat, self.tokenizer, self.seed, self.samples = flat, tokenizer, seed, samples
        self.questions, self.length, self.paraphrases = questions, length, paraphrases
        if paraphrases == "train":
            self.rows = allowed_rows(flat, split)
        else:
            self.rows = np.array([flat.starts[e] for e in flat.episodes(split)], np.int64)
        if not len(self.rows):
            raise DatasetError(f"{flat.path} has no {split} episodes; record more of them.")
        self._known: dict[str, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.samples:
            raise IndexError(f"frame {index} of {self.samples}")
        rng = np.random.default_rng([self.seed, index, 11])
        row = int(self.rows[index % len(self.rows)])
        if self.paraphrases == "train":
            row = int(rng.choice(self.rows))
        scene = Scene.from_state(self.flat.state, row)
        texts = np.zeros((self.questions, self.length), np.int64)
        answers = np.full(self.questions, _NONE)
        kinds = np.full(self.questions, _NONE)
        for k in range(self.questions):
            kind = k % len(ASKED_KINDS)
            asked = ask(ASKED_KINDS[kind], [scene], rng, split=self.paraphrases)
            if asked is not None:
                texts[k] = self._ids(asked.text)
                answers[k], kinds[k] = ANSWERS.index(asked.answer), kind
        frame = np.array(self.flat.frames[row])
        return {"frames": frame, "questions": texts, "answers": answers, "kinds": kinds}

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Several items at once."""
        return [self[index] for index in indices]

    def _ids(self, text: str) -> NDArray[np.int64]:
        if text not in self._known:
            padded = np.zeros(self.length, np.int64)
            ids = encode_text(self.tokenizer, text, self.length)
            padded[: len(ids)] = ids
            self._known[text] = padded
        return self._known[text]
