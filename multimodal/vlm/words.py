"""Words between texts and tokens: the ids of words, and the words that tokens look like."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from multimodal.text_tokenizer import encode_text

__all__ = ["read_words", "whole_words", "word_ids"]


def word_ids(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> Tensor:
    """Ids int64 (len(words),) of words as texts have them, with a space before most.

    Of a word that a tokeniser of the hub splits, the piece that an answer begins with.
    """
    pieces = [encode_text(tokenizer, word) for word in words]
    return torch.tensor(
        [each[0 if word[0] == " " else -1] for word, each in zip(words, pieces, strict=True)]
    )


def whole_words(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> dict[str, int]:
    """The ids of words with a space before them that are one token each, and of no others."""
    pieces = {word: encode_text(tokenizer, f" {word}") for word in words}
    return {word: ids[0] for word, ids in pieces.items() if len(ids) == 1}


def read_words(language: PreTrainedModel, tokens_XW: Tensor) -> Tensor:
    """Logits float32 (..., vocabulary) of what tokens (..., W) look like to a language model.

    Read as in the logit lens: through its last norm and its output words.
    """
    logits: Tensor = language.get_output_embeddings()(language.base_model.norm(tokens_XW))
    return logits.float()
