"""A stretch of one modality, as a sequence is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import ActionError, SequenceError
from multimodal.sequence.actions import checked_actions

__all__ = ["Modality", "Segment"]


class Modality(IntEnum):
    """What a token speaks of; PADDING fills short rows of a batch."""

    TEXT = 0
    IMAGE = 1
    AUDIO = 2
    ACTION = 3
    PADDING = 4


@dataclass(frozen=True, eq=False)
class Segment:
    """Codes of one modality, and whether a model is to learn to say them.

    Attributes:
        modality: whose codes.
        codes: int64 (n, k): text (n, 1); an image's N tokens of k groups; audio's n frames of k
            levels; n actions of k binned numbers. Empty (n, 0) for continuous actions.
        values: float32 (n, A) of continuous actions, (n, 0) otherwise.
        learn: whether the loss counts it.
    """

    modality: Modality
    codes: NDArray[np.int64]
    values: NDArray[np.float32]
    learn: bool = False

    @classmethod
    def text(cls, ids: Sequence[int], learn: bool = False) -> Segment:
        """Token ids of a text, without special tokens; the empty text is a segment too."""
        return cls._of(Modality.TEXT, np.array(ids, np.int64).reshape(-1, 1), learn)

    @classmethod
    def image(cls, codes: Any, learn: bool = False) -> Segment:
        """An image's codes (N, groups)."""
        return cls._of(Modality.IMAGE, codes, learn)

    @classmethod
    def audio(cls, codes: Any, learn: bool = False) -> Segment:
        """A sound's codes (T, levels)."""
        return cls._of(Modality.AUDIO, codes, learn)

    @classmethod
    def actions(cls, bins: Any, learn: bool = False) -> Segment:
        """Binned actions (T, A), from `ActionBins.encode`."""
        return cls._of(Modality.ACTION, bins, learn)

    @classmethod
    def continuous_actions(cls, actions: Any, learn: bool = False) -> Segment:
        """Actions (T, A) as they are: one token each.

        Raises:
            ActionError: malformed actions, or none.
        """
        values = checked_actions(actions)
        if not len(values):
            raise ActionError("there is no action to put into a sequence; leave the segment out.")
        return cls(Modality.ACTION, np.zeros((len(values), 0), np.int64), values, learn)

    @classmethod
    def _of(cls, modality: Modality, codes: Any, learn: bool) -> Segment:
        array = np.asarray(codes)
        if array.ndim != 2 or array.dtype.kind not in "iu":
            raise SequenceError(
                f"codes of {modality.name.lower()} are integers (n, k), got {array.dtype} "
                f"{array.shape}."
            )
        values = np.zeros((len(array), 0), np.float32)
        return cls(modality, array.astype(np.int64), values, learn)

    @property
    def continuous(self) -> bool:
        """Whether it holds actions as numbers."""
        return self.modality == Modality.ACTION and self.values.shape[1] > 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Segment):
            return NotImplemented
        same = self.modality == other.modality and self.learn == other.learn
        return (
            same
            and np.array_equal(self.codes, other.codes)
            and np.array_equal(self.values, other.values)
        )

    __hash__ = None  # type: ignore[assignment]
