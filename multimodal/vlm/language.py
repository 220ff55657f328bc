"""The language model and its tokeniser: a small one of our own, or any causal one of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from multimodal.errors import CheckpointError
from multimodal.text_tokenizer import load_text_tokenizer
from multimodal.tower import attention_kind
from multimodal.vlm.turns import IGNORED, IMAGE_TOKEN, Marks, attention_mask

__all__ = [
    "Next",
    "hidden_states",
    "language_from_config",
    "next_logits",
    "open_language",
    "small_language",
]

_POSITIONS = 1024


def small_language(
    tokenizer: PreTrainedTokenizerBase, width: int, hidden: int, layers: int, heads: int
) -> PreTrainedModel:
    """A Llama of the given widths with fresh weights, for the tokeniser's vocabulary."""
    marks = Marks.of(tokenizer)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=_POSITIONS,
        tie_word_embeddings=True,
        pad_token_id=marks.pad,
        bos_token_id=marks.bos,
        eos_token_id=marks.eos,
    )
    return language_from_config(config.to_diff_dict())


def language_from_config(values: dict[str, Any]) -> PreTrainedModel:
    """A causal language model with fresh weights.

    Args:
        values: its configuration as `to_diff_dict` gives it, with its `model_type`.
    """
    rest = {name: value for name, value in values.items() if name != "model_type"}
    config = AutoConfig.for_model(values["model_type"], **rest)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention_kind())


def open_language(name_or_dir: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model from a folder or of the hub, with its tokeniser.

    The token that stands for a frame's is added where the tokeniser lacks it.

    Raises:
        CheckpointError: the folder holds no such model, or the hub name cannot be fetched.
    """
    is_folder = Path(name_or_dir).is_dir()
    tokenizer = load_text_tokenizer(_text_of(Path(name_or_dir)) if is_folder else name_or_dir)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(name_or_dir),
            local_files_only=is_folder,
            use_safetensors=True,
            attn_implementation=attention_kind(),
        )
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{str(name_or_dir)!r} is no folder with a causal language model, and none of that "
            f"name could be fetched from the hub ({str(error).strip().partition(chr(10))[0]}). "
            f"Without a network, run `hf download {name_or_dir} --local-dir DIR` where there is "
            "one and pass DIR."
        ) from error
    if tokenizer.convert_tokens_to_ids(IMAGE_TOKEN) in (None, tokenizer.unk_token_id):
        tokenizer.add_tokens([IMAGE_TOKEN], special_tokens=True)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))
    return model.float(), tokenizer


def hidden_states(
    language: PreTrainedModel, embedded: Tensor, batch: dict[str, Tensor], looks: bool = False
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The last hidden state (B, L, W) of rows that `collate_rows` laid out.

    Args:
        language: the causal language model.
        embedded: the rows' tokens, (B, L, W).
        batch: the rows.
        looks: whether to return as well what each layer attends to, (B, heads, L, L); nothing
            where attention is computed in one piece, as on a GPU.
    """
    mask = attention_mask(batch["turns"], batch["sees"], batch["frames"])
    out = language.base_model(
        inputs_embeds=embedded,
        attention_mask=mask,
        position_ids=batch["positions"],
        use_cache=False,
        output_attentions=looks and language.config._attn_implementation == "eager",
    )
    return out.last_hidden_state, out.attentions or ()


class Next(NamedTuple):
    """The places of a batch after which there is something to say.

    Attributes:
        logits: of what the language model says there, float32 (X, vocabulary).
        ids: what is right, int64 (X,).
        rows: their rows, int64 (X,).
        places: their places in these, int64 (X,).
    """

    logits: Tensor
    ids: Tensor
    rows: Tensor
    places: Tensor


def next_logits(
    language: PreTrainedModel, hidden: Tensor, labels: Tensor, barred: Tensor | None = None
) -> Next:
    """Logits where a token with a label comes next.

    Args:
        language: the causal language model.
        hidden: its last hidden state (B, L, W).
        labels: int64 (B, L), IGNORED where nothing is to be said.
        barred: int64 (B, L, X), ids that are no choice for a label, IGNORED for none.
    """
    following = labels[:, 1:]
    rows, places = torch.where(following != IGNORED)
    logits = language.get_output_embeddings()(hidden[rows, places]).float()
    if barred is not None:
        without = barred[:, 1:][rows, places]
        picked, slots = torch.where(without != IGNORED)
        logits = logits.index_put((picked, without[picked, slots]), logits.new_tensor(-torch.inf))
    return Next(logits, following[rows, places], rows, places)


def _text_of(folder: Path) -> Path:
    """The folder of the tokeniser beside a model: its own, or `text` below it."""
    return folder / "text" if (folder / "text").is_dir() else folder
