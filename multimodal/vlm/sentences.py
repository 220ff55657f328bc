"""Rows of sentences without pictures, to learn the language of the world from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from multimodal.language.corpus import sentences
from multimodal.text_tokenizer import encode_text
from multimodal.vlm.turns import Marks, Turn, assemble
from multimodal.vlm.unproven import Unproven

__all__ = ["SentenceRows"]


class SentenceRows(Dataset[dict[str, Any]]):
    """Each row holds some sentences that do not see one another; every token is to be predicted.

    Item i is a function of (seed, i) alone, as `assemble` lays it out, with no frames.

    Args:
        tokenizer: of texts.
        marks: special ids.
        seed: what the sentences depend on besides i.
        samples: the length of this dataset.
        count: sentences of a row.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        marks: Marks,
        seed: int,
        samples: int,
        count: int = 10,
    ) -> None:
        self.tokenizer, self.marks, self.seed = tokenizer, marks, seed
        self.samples, self.count = samples, count
        self._unproven = Unproven(tokenizer)

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.samples:
            raise IndexError(f"row {index} of {self.samples}")
        # Two to the 32nd rows of each seed before another seed's come.
        said = sentences(self.count, seed=(self.seed << 32) + index)
        turns = [self._turn(text) for text in said]
        return assemble(turns, 0, 1, self.marks)

    def _turn(self, text: str) -> Turn:
        ids = (*encode_text(self.tokenizer, text), self.marks.eos)
        return Turn((), ids, 0, self._unproven.of(ids))

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Several rows at once."""
        return [self[index] for index in indices]
