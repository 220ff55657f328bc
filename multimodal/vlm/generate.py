"""Greedy answers, token by token, with a key-value cache of fixed size."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import StaticCache

from multimodal.errors import TextError
from multimodal.vlm.copying import Said
from multimodal.vlm.model import VlmModel

__all__ = ["generate"]


@torch.no_grad()
def generate(
    model: VlmModel,
    ids_BL: Tensor,
    glances_FP: Tensor,
    tokens: int,
    cached: bool = True,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """What the model says after each row.

    Args:
        model: the model.
        ids_BL: rows of one length: begin, image tokens, question; int64.
        glances_FP: the frames of all rows, one after the other.
        tokens: most tokens to say.
        cached: keep keys and values of what was read in a `StaticCache`; without it everything is
            read anew for each token, which gives the same answer slowly.
        temperature: 0 says the most probable token; above, tokens are drawn.
        generator: of the draws.

    Returns:
        For each row the ids it said, without the end.

    Raises:
        TextError: rows and answers are longer than the language model's positions.
    """
    batch, length = ids_BL.shape
    most = model.language.config.max_position_embeddings
    if length + tokens > most:
        raise TextError(
            f"question and answer need {length + tokens} tokens and the language model has "
            f"positions for {most}; shorten the question."
        )
    seen = model.see(ids_BL, glances_FP)
    embedded, shown = model.embed(ids_BL, seen), model.shown(seen)
    frames = model.frames_of_rows(ids_BL)
    last = torch.where(frames > 0, frames.cumsum(0) - 1, -1)
    cache = None
    if cached:
        cache = StaticCache(config=model.language.config, max_cache_len=length + tokens)
    said = torch.full((batch, tokens), model.marks.eos, device=ids_BL.device)
    words = None if model.copier is None else Said.nothing(batch, model.copier.ids)
    ended = torch.zeros(batch, dtype=torch.bool, device=ids_BL.device)
    fresh, begin = embedded, 0
    for step in range(tokens):
        hidden = _last_hidden(model, fresh, begin, cache)
        logits = model.language.get_output_embeddings()(hidden).float()
        if model.copier is not None and shown is not None:
            logits = model.copier(logits, hidden, shown, last, words).words
        chosen = _pick(logits, temperature, generator)
        if model.copier is not None and words is not None:
            words = words.then(chosen, model.copier.ids)
        said[:, step] = torch.where(ended, model.marks.eos, chosen)
        ended |= chosen == model.marks.eos
        if bool(ended.all()):
            break
        following = model.language.get_input_embeddings()(said[:, step : step + 1])
        if cache is None:
            fresh = torch.cat([fresh, following], 1)
        else:
            fresh, begin = following, length + step
    return [_until_end(row, model.marks.eos) for row in said.tolist()]


def _last_hidden(
    model: VlmModel, embedded: Tensor, begin: int, cache: StaticCache | None
) -> Tensor:
    """The last hidden state (B, W) after the last of the embedded tokens, the first at `begin`."""
    positions = begin + torch.arange(embedded.shape[1], device=embedded.device)
    out = model.language.base_model(
        inputs_embeds=embedded,
        position_ids=positions[None],
        past_key_values=cache,
        use_cache=cache is not None,
    )
    hidden: Tensor = out.last_hidden_state[:, -1]
    return hidden


def _pick(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    if temperature <= 0:
        return logits.argmax(-1)
    chances = (logits / temperature).softmax(-1)
    return torch.multinomial(chances, 1, generator=generator)[:, 0]


def _until_end(ids: list[int], eos: int) -> list[int]:
    return ids[: ids.index(eos)] if eos in ids else ids
