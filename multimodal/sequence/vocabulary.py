"""One range of ids for everything: text first, then each group of image, audio and action codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from multimodal.errors import ConfigError, SequenceError
from multimodal.sequence.segments import Modality

__all__ = ["Vocabulary"]

_CODED = (Modality.IMAGE, Modality.AUDIO, Modality.ACTION)


@dataclass(frozen=True)
class Vocabulary:
    """The ids of a sequence.

    Attributes:
        text: number of text ids; the marks below are among them.
        pad: fills short rows.
        bos: begins a sequence.
        eos: ends a text.
        starts: the marks before an image, a sound, actions.
        ends: the marks after them.
        action: stands where a continuous action is.
        image: groups of an image token, and codes of each group.
        audio: levels of an audio frame, and codes of each level.
        actions: numbers of an action, and bins of each number.
    """

    text: int
    pad: int
    bos: int
    eos: int
    starts: tuple[int, int, int]
    ends: tuple[int, int, int]
    action: int
    image: tuple[int, int] = (1, 1)
    audio: tuple[int, int] = (1, 1)
    actions: tuple[int, int] = (1, 2)

    @classmethod
    def of(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        image: tuple[int, int],
        audio: tuple[int, int],
        actions: tuple[int, int],
    ) -> Vocabulary:
        """The vocabulary around our text tokeniser, which has the marks.

        Raises:
            ConfigError: the tokeniser lacks a mark.
        """
        names = ["<pad>", "<bos>", "<eos>", "<action>"]
        names += [f"<{m.name.lower()}_{end}>" for end in ("start", "end") for m in _CODED]
        known = tokenizer.get_vocab()
        if missing := [name for name in names if name not in known]:
            raise ConfigError(
                f"the text tokeniser {tokenizer.name_or_path!r} lacks {missing}; add them with "
                "tokenizer.add_tokens([...], special_tokens=True)."
            )
        pad, bos, eos, action, *marks = (int(known[name]) for name in names)
        i, a, c, i_end, a_end, c_end = marks
        starts, ends = (i, a, c), (i_end, a_end, c_end)
        return cls(len(tokenizer), pad, bos, eos, starts, ends, action, image, audio, actions)

    @cached_property
    def marks(self) -> frozenset[int]:
        """All ids that are no text."""
        return frozenset((self.pad, self.bos, self.eos, self.action, *self.starts, *self.ends))

    @property
    def size(self) -> int:
        """All ids together."""
        return self.offset(Modality.ACTION) + self.actions[0] * self.actions[1]

    def shape(self, modality: Modality) -> tuple[int, int]:
        """How many codes stand side by side, and how many values each has."""
        return {
            Modality.TEXT: (1, self.text),
            Modality.IMAGE: self.image,
            Modality.AUDIO: self.audio,
            Modality.ACTION: self.actions,
        }[modality]

    def offset(self, modality: Modality) -> int:
        """The first id of a modality's codes."""
        sizes = [self.text, self.image[0] * self.image[1], self.audio[0] * self.audio[1]]
        return sum(sizes[:modality])

    def span(self, modality: Modality) -> tuple[int, int]:
        """The first id of a modality's codes, and how many there are."""
        columns, values = self.shape(modality)
        return self.offset(modality), columns * values

    def to_ids(self, modality: Modality, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes (n, k) as ids (n · k,), row by row; each column has a range of its own.

        Raises:
            SequenceError: another number of columns, or codes that do not exist.
        """
        columns, values = self.shape(modality)
        name = modality.name.lower()
        if codes.ndim != 2 or codes.shape[1] != columns:
            raise SequenceError(
                f"{name} codes have {columns} columns here, got the shape {codes.shape}."
            )
        if codes.size and (codes.min() < 0 or codes.max() >= values):
            raise SequenceError(
                f"{name} codes are 0 to {values - 1:,}, got {codes.min()} to {codes.max()}; they "
                "are of another tokeniser."
            )
        if modality == Modality.TEXT and (found := set(codes.flat) & self.marks):
            raise SequenceError(
                f"text holds the ids {sorted(int(each) for each in found)}, which mark other "
                "tokens; encode it with split_special_tokens, as `encode_text` does."
            )
        return (codes + self.offset(modality) + values * np.arange(columns)).reshape(-1)

    def to_codes(self, modality: Modality, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The inverse of `to_ids`.

        Raises:
            SequenceError: ids of something else, out of order, or the last group is not whole.
        """
        columns, values = self.shape(modality)
        name = modality.name.lower()
        if len(ids) % columns:
            raise SequenceError(f"{len(ids)} {name} ids do not make groups of {columns}.")
        codes = ids.reshape(-1, columns) - self.offset(modality) - values * np.arange(columns)
        if codes.size and (codes.min() < 0 or codes.max() >= values):
            raise SequenceError(f"ids between the marks of {name} are not all {name} ids in order.")
        return codes.astype(np.int64)
