"""What a native model writes after a row: a text, or an image code by code, within the grammar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from multimodal.native.model import NativeModel
from multimodal.sequence import Modality, Segment, assemble
from multimodal.sequence.vocabulary import Vocabulary

__all__ = ["write_codes", "write_text"]


@torch.no_grad()
def write_text(
    model: NativeModel, rows: Sequence[Sequence[Segment]], tokens: int
) -> list[list[int]]:
    """The text ids, without the end, that the model says after each row; greedy.

    Args:
        model: the model.
        rows: what it reads, as segments.
        tokens: most to say.
    """
    words = model.words
    forbidden = torch.ones(words.size, dtype=torch.bool)
    forbidden[: words.text] = False
    forbidden[[each for each in words.marks if each != words.eos]] = True
    said: list[list[int]] = [[] for _ in rows]
    for chosen, batch in _by_length(rows, words):
        written = _write(model, batch, [Modality.TEXT] * tokens, [forbidden] * tokens, words.eos)
        for k, ids in zip(chosen, written.tolist(), strict=True):
            said[k] = ids[: ids.index(words.eos)] if words.eos in ids else ids
    return said


@torch.no_grad()
def write_codes(
    model: NativeModel,
    rows: Sequence[Sequence[Segment]],
    modality: Modality,
    count: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Codes int64 (rows, count, columns) of one image, sound or action sequence after each row.

    Args:
        model: the model.
        rows: what it reads, as segments.
        modality: what is written.
        count: tokens of the image, frames of the sound, or actions.
        temperature: 0 takes the most probable code; above, codes are drawn.
        seed: of the draws.
    """
    words = model.words
    columns, values = words.shape(modality)
    masks = []
    for column in range(columns):
        mask = torch.ones(words.size, dtype=torch.bool)
        begin = words.offset(modality) + column * values
        mask[begin : begin + values] = False
        masks.append(mask)
    out = np.zeros((len(rows), count, columns), np.int64)
    start = words.starts[modality - 1]
    for chosen, batch in _by_length(rows, words):
        opened = _append(batch, start, modality, 0)
        ids = _write(
            model, opened, [modality] * (count * columns), masks * count, None, temperature, seed
        )
        for k, row in zip(chosen, ids.numpy(), strict=True):
            out[k] = words.to_codes(modality, row)
    return out


def _by_length(
    rows: Sequence[Sequence[Segment]], words: Vocabulary
) -> list[tuple[list[int], dict[str, Tensor]]]:
    """Rows of one length together, as padding would shift what follows."""
    laid = [assemble(row, words) for row in rows]
    groups = []
    for length in sorted({len(row["ids"]) for row in laid}):
        chosen = [k for k, row in enumerate(laid) if len(row["ids"]) == length]
        names = ("ids", "modalities", "within", "values", "positions")
        stacked = {n: torch.from_numpy(np.stack([laid[k][n] for k in chosen])) for n in names}
        groups.append((chosen, stacked))
    return groups


def _append(
    batch: dict[str, Tensor], token: int, modality: Modality, within: int
) -> dict[str, Tensor]:
    more = _column(batch["ids"].new_full((len(batch["ids"]),), token), batch, modality, within)
    return {name: torch.cat([batch[name], more[name]], 1) for name in batch}


def _column(
    ids: Tensor, batch: dict[str, Tensor], modality: Modality, within: int
) -> dict[str, Tensor]:
    """One more token of each row."""
    column = ids[:, None]
    return {
        "ids": column,
        "modalities": torch.full_like(column, modality),
        "within": torch.full_like(column, within),
        "values": batch["values"].new_zeros(len(ids), 1, batch["values"].shape[2]),
        "positions": batch["positions"][:, -1:] + 1,
    }


def _write(
    model: NativeModel,
    batch: dict[str, Tensor],
    modalities: Sequence[Modality],
    forbidden: Sequence[Tensor],
    end: int | None,
    temperature: float = 0.0,
    seed: int = 0,
) -> Tensor:
    """Ids (B, len(modalities)), each within what its mask allows; stops where all rows ended."""
    cache = DynamicCache(config=model.body.config)
    generator = torch.Generator().manual_seed(seed)
    ended = torch.zeros(len(batch["ids"]), dtype=torch.bool)
    written: list[Tensor] = []
    fresh = batch
    for place, (modality, mask) in enumerate(zip(modalities, forbidden, strict=True), 1):
        logits = model.logits(model.hidden(**fresh, cache=cache)[:, -1]).float()
        logits = logits.masked_fill(mask, -torch.inf)
        if temperature > 0:
            chances = (logits / temperature).softmax(-1)
            ids = torch.multinomial(chances, 1, generator=generator)[:, 0]
        else:
            ids = logits.argmax(-1)
        if end is not None:
            ids = torch.where(ended, end, ids)
            ended |= ids == end
        written.append(ids)
        if end is not None and bool(ended.all()):
            break
        within = 0 if modality == Modality.TEXT else place
        fresh = _column(ids, fresh, modality, within)
    return torch.stack(written, 1)
