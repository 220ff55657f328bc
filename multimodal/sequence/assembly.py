"""Any interleaving of text, images, sounds and actions as one row of ids, and back again.

A row begins with `<bos>`. A text ends with `<eos>`; an image, a sound and actions stand between
their marks. So the ids alone say where everything begins and ends, also those a model has written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.errors import SequenceError
from multimodal.sequence.segments import Modality, Segment
from multimodal.sequence.vocabulary import Vocabulary

__all__ = ["assemble", "collate", "parse", "take_apart"]

Row = dict[str, NDArray[Any]]


def assemble(segments: Sequence[Segment], vocabulary: Vocabulary) -> Row:
    """One row.

    Args:
        segments: in any order and number.
        vocabulary: the ids.

    Returns:
        Arrays of length L: "ids" int64; "positions" int64, counted from 0; "within" int64, the
        place inside an image, a sound or actions counted from 1, else 0; "modalities" int64, marks
        counting as what they enclose; "learn" bool, the loss mask: tokens that are to be predicted;
        "values" float32 (L, A) of continuous actions, zeros elsewhere.

    Raises:
        SequenceError: codes that the vocabulary does not have, or continuous actions of another
            size.
    """
    parts = [_part(segment, vocabulary) for segment in segments]
    width = vocabulary.actions[0]
    ids = np.concatenate([[vocabulary.bos], *(ids for ids, _ in parts)]).astype(np.int64)
    lengths = [len(ids) for ids, _ in parts]
    return {
        "ids": ids,
        "positions": np.arange(len(ids)),
        "within": np.concatenate(
            [[0], *(_within(s, n) for s, n in zip(segments, lengths, strict=True))]
        ).astype(np.int64),
        "modalities": np.concatenate(
            [
                [Modality.TEXT],
                *(np.full(n, s.modality) for s, n in zip(segments, lengths, strict=True)),
            ]
        ).astype(np.int64),
        "learn": np.concatenate(
            [[False], *(np.full(n, s.learn) for s, n in zip(segments, lengths, strict=True))]
        ).astype(bool),
        "values": np.concatenate([np.zeros((1, width)), *(v for _, v in parts)]).astype(np.float32),
    }


def take_apart(row: Mapping[str, Any], vocabulary: Vocabulary) -> list[Segment]:
    """The segments that `assemble` made a row of, exactly.

    Raises:
        SequenceError: the row does not parse.
    """
    return parse(row["ids"], vocabulary, row["values"], row["learn"])


def parse(
    ids: Any,
    vocabulary: Vocabulary,
    values: NDArray[np.float32] | None = None,
    learn: NDArray[np.bool_] | None = None,
) -> list[Segment]:
    """The segments of ids, such as those a model wrote.

    Args:
        ids: int (L,), beginning with `<bos>`, padding at the end allowed.
        vocabulary: the ids.
        values: float32 (L, A) of continuous actions; zeros where not given.
        learn: bool (L,), the loss mask; False where not given.

    Raises:
        SequenceError: it does not begin with `<bos>`, something is not closed, or something stands
            where it cannot.
    """
    row = np.asarray(ids, np.int64)
    if row.ndim != 1 or not len(row) or row[0] != vocabulary.bos:
        raise SequenceError("a sequence is a row of ids that begins with <bos>.")
    used = np.flatnonzero(row != vocabulary.pad)
    row = row[: used[-1] + 1]
    width = vocabulary.actions[0]
    values = np.zeros((len(row), width), np.float32) if values is None else values
    learn = np.zeros(len(row), bool) if learn is None else learn
    segments: list[Segment] = []
    begin = 1
    while begin < len(row):
        modality, end = _extent(row, begin, vocabulary)
        opened = begin if modality == Modality.TEXT else begin + 1
        inside, flag = row[opened:end], bool(learn[end])
        continuous = (
            modality == Modality.ACTION and len(inside) and (inside == vocabulary.action).all()
        )
        if continuous:
            segments.append(Segment.continuous_actions(values[opened:end], flag))
        else:
            codes = vocabulary.to_codes(modality, inside)
            if modality == Modality.TEXT:
                vocabulary.to_ids(modality, codes)
            segments.append(Segment._of(modality, codes, flag))
        begin = end + 1
    return segments


def collate(
    rows: Sequence[Mapping[str, NDArray[Any]]], vocabulary: Vocabulary
) -> dict[str, Tensor]:
    """Rows of different lengths as a batch (B, L), padded at the end to a multiple of 8."""
    length = max(len(row["ids"]) for row in rows)
    length += -length % 8
    fills = {"ids": vocabulary.pad, "modalities": int(Modality.PADDING)}
    batch = {}
    for name, first in rows[0].items():
        padded = np.full((len(rows), length, *first.shape[1:]), fills.get(name, 0), first.dtype)
        for target, row in zip(padded, rows, strict=True):
            target[: len(row[name])] = row[name]
        batch[name] = torch.from_numpy(padded)
    return batch


def _part(segment: Segment, vocabulary: Vocabulary) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Ids with their marks, and the values beside them."""
    width = vocabulary.actions[0]
    if segment.continuous:
        if segment.values.shape[1] != width:
            raise SequenceError(
                f"continuous actions have {segment.values.shape[1]} numbers, expected {width}."
            )
        ids, values = np.full(len(segment.values), vocabulary.action), segment.values
    else:
        ids = vocabulary.to_ids(segment.modality, segment.codes)
        values = np.zeros((len(ids), width), np.float32)
    if segment.modality == Modality.TEXT:
        return np.append(ids, vocabulary.eos), np.pad(values, ((0, 1), (0, 0)))
    start, end = (marks[segment.modality - 1] for marks in (vocabulary.starts, vocabulary.ends))
    return np.concatenate([[start], ids, [end]]), np.pad(values, ((1, 1), (0, 0)))


def _within(segment: Segment, length: int) -> NDArray[np.int64]:
    if segment.modality == Modality.TEXT:
        return np.zeros(length, np.int64)
    inside = np.arange(length)
    inside[-1] = 0
    return inside


def _extent(row: NDArray[np.int64], begin: int, vocabulary: Vocabulary) -> tuple[Modality, int]:
    """What begins here, and where its closing mark stands."""
    token = int(row[begin])
    modality, mark = Modality.TEXT, vocabulary.eos
    if token in vocabulary.starts:
        modality = Modality(1 + vocabulary.starts.index(token))
        mark = vocabulary.ends[modality - 1]
    ends = np.flatnonzero(row[begin:] == mark)
    if not len(ends):
        raise SequenceError(
            f"the {modality.name.lower()} that begins at {begin} is not closed; let the model "
            "write more tokens."
        )
    return modality, begin + int(ends[0])
