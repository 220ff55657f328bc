"""Frames, questions and answers as one row of tokens, and rows as a batch.

A row is: begin, the tokens of each frame, then turns of a question and its answer. Turns do not see
one another, and each sees as many frames as its question is about, so several turns cost the
pictures once and are still what a single turn is when the model is used: plain causal attention
over begin, frames, question, answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from multimodal.errors import ConfigError, TextError
from multimodal.text_tokenizer import encode_text
from multimodal.vlm.unproven import MOST_BARRED

__all__ = ["IGNORED", "Marks", "Turn", "assemble", "attention_mask", "collate_rows", "turn_of"]

IGNORED = -100
_PADDING = -1
# Large enough to hide, and finite in bfloat16.
_HIDDEN = -1e9
IMAGE_TOKEN = "<image>"
_LAID = ("ids", "labels", "positions", "turns", "sees", "frames", "barred", "looks", "copies")


@dataclass(frozen=True)
class Marks:
    """The ids of special tokens.

    Attributes:
        pad: fills short rows.
        bos: begins a row.
        eos: ends an answer.
        image: stands where a frame's token goes.
    """

    pad: int
    bos: int
    eos: int
    image: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Marks:
        """The marks of a tokeniser, of ours or of one whose `<image>` was added.

        Raises:
            ConfigError: it has no end token, or no token `<image>`.
        """
        eos, image = tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        if eos is None or image is None or image == tokenizer.unk_token_id:
            raise ConfigError(
                f"the tokeniser {tokenizer.name_or_path!r} lacks an end token or {IMAGE_TOKEN}; "
                f'add it with tokenizer.add_tokens(["{IMAGE_TOKEN}"], special_tokens=True).'
            )
        pad, bos = tokenizer.pad_token_id, tokenizer.bos_token_id
        return cls(eos if pad is None else pad, eos if bos is None else bos, eos, image)


@dataclass(frozen=True)
class Turn:
    """A question and its answer.

    Attributes:
        question: its token ids.
        answer: its token ids.
        frames: how many frames it sees.
        barred: for each token of the answer, or the first ones, ids that the language model does
            not choose among.
        looks: which token of its last frame it is about, where that is known.
        copies: for each token of the answer, or the first ones, its part (see
            `multimodal.vlm.copying.OWN`) and the slot of the thing in its last frame that it is
            said of.
    """

    question: tuple[int, ...]
    answer: tuple[int, ...]
    frames: int
    barred: tuple[tuple[int, ...], ...] = ()
    looks: int | None = None
    copies: tuple[tuple[int, int], ...] = ()


def turn_of(
    tokenizer: PreTrainedTokenizerBase, question: str, answer: str | None, frames: int, eos: int
) -> Turn:
    """A question, and its answer where it is known, as token ids.

    Raises:
        TextError: the question is empty.
    """
    if not question.strip():
        raise TextError("the question is empty; ask something of the picture.")
    asked = tuple(encode_text(tokenizer, question))
    said = () if answer is None else (*encode_text(tokenizer, f" {answer}"), eos)
    return Turn(asked, said, frames)


def assemble(
    turns: Sequence[Turn], frames: int, frame_tokens: int, marks: Marks
) -> dict[str, NDArray[np.int64]]:
    """One row.

    Args:
        turns: questions and answers.
        frames: F, how many frames the row holds.
        frame_tokens: tokens of a frame.
        marks: special ids.

    Returns:
        int64 (L,) arrays: "ids"; "labels", the ids of answers and IGNORED elsewhere; "positions",
        which begin anew after the frames in every turn; "turns", 0 before the first; "sees", how
        many frames a token may see; "frames", which frame a token belongs to, counted from 1;
        "looks", for a token after which an answer goes on the place in the row that it is about,
        IGNORED elsewhere and where it is not known. And (L, MOST_BARRED) "barred", ids that are no
        choice for a label, IGNORED where there are none; and (L, 2) "copies", for a label its part
        and its thing's slot, IGNORED where they are not known.
    """
    ids = [marks.bos, *([marks.image] * (frames * frame_tokens))]
    labels = [IGNORED] * len(ids)
    positions = list(range(len(ids)))
    number = [0] * len(ids)
    frame = [0, *(1 + k // frame_tokens for k in range(frames * frame_tokens))]
    sees = list(frame)
    barred = [_bars(())] * len(ids)
    looks, copies = list(labels), [[IGNORED, IGNORED]] * len(ids)
    for count, turn in enumerate(turns, 1):
        length = len(turn.question) + len(turn.answer)
        begin = 1 + turn.frames * frame_tokens
        ids += [*turn.question, *turn.answer]
        labels += [*([IGNORED] * len(turn.question)), *turn.answer]
        positions += range(begin, begin + length)
        number += [count] * length
        sees += [turn.frames] * length
        frame += [0] * length
        each = [*turn.barred, *([()] * (len(turn.answer) - len(turn.barred)))]
        barred += [_bars(ids_) for ids_ in ([()] * len(turn.question) + each)]
        looks += _looks(turn, frame_tokens)
        rest = [[IGNORED, IGNORED]] * (len(turn.answer) - len(turn.copies))
        copies += [[IGNORED, IGNORED]] * len(turn.question)
        copies += [*([part, slot] for part, slot in turn.copies), *rest]
    row: dict[str, Sequence[int | list[int]]] = {"ids": ids, "labels": labels}
    row |= {
        "positions": positions,
        "turns": number,
        "sees": sees,
        "frames": frame,
        "barred": barred,
        "looks": looks,
        "copies": copies,
    }
    return {name: np.array(values, np.int64) for name, values in row.items()}


def _looks(turn: Turn, frame_tokens: int) -> list[int]:
    """What each token of a turn is to look at: those after which the answer goes on."""
    said = len(turn.answer)
    if turn.looks is None or not said:
        return [IGNORED] * (len(turn.question) + said)
    place = 1 + (turn.frames - 1) * frame_tokens + turn.looks
    # What follows on the answer's last word is its end, which needs no look.
    return [*([IGNORED] * (len(turn.question) - 1)), *([place] * (said - 1)), IGNORED, IGNORED]


def _bars(ids: tuple[int, ...]) -> list[int]:
    return [*ids, *([IGNORED] * (MOST_BARRED - len(ids)))]


def collate_rows(samples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Rows of different lengths as a batch, and their frames one after the other.

    Args:
        samples: each with what `assemble` returns, and some with "glances" (F, P) of its own
            frames, and "landmarks" (F, N, K), "named" (F, slots, 2) and "printed" (F, DETAILS, 3)
            of them; all or none of a batch.

    Returns:
        The arrays of `assemble` as (B, L, ...) tensors, and "glances" (ΣF, P), "landmarks"
        (ΣF, N, K), "named" (ΣF, slots, 2) and "printed" (ΣF, DETAILS, 3) where there are such.
    """
    length = max(len(sample["ids"]) for sample in samples)
    length += -length % 8
    fills = dict.fromkeys(("labels", "barred", "looks", "copies"), IGNORED) | {"turns": _PADDING}
    batch = {}
    for name in _LAID:
        shape = (len(samples), length, *samples[0][name].shape[1:])
        rows = np.full(shape, fills.get(name, 0), np.int64)
        for row, sample in zip(rows, samples, strict=True):
            row[: len(sample[name])] = sample[name]
        batch[name] = torch.from_numpy(rows)
    for name in ("glances", "landmarks", "named", "printed"):
        if name in samples[0]:
            joined = np.concatenate([sample[name] for sample in samples])
            batch[name] = torch.from_numpy(joined)
    return batch


def attention_mask(turns: Tensor, sees: Tensor, frames: Tensor) -> Tensor:
    """Who sees whom, to be added to attention's logits: float (B, 1, L, L), queries in rows.

    Args:
        turns: the turn of each token, 0 for frames, negative for padding; (B, L).
        sees: how many frames it may see; (B, L).
        frames: the frame it belongs to, 0 for none; (B, L).
    """
    length = turns.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=turns.device).tril()
    shown = (turns == 0)[:, None] & (frames[:, None] <= sees[:, :, None])
    shown &= (turns >= 0)[:, :, None]
    same = turns[:, None] == turns[:, :, None]
    # Tokens of frames are of one turn, but an earlier frame must not see a later one's.
    same &= (turns != 0)[:, None]
    seen = (before & (shown | same))[:, None]
    return torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, _HIDDEN)
