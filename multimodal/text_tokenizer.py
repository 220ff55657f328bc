"""Text as token ids: a byte-level BPE trained on the language of the world, or any hub tokeniser.

Bytes are its alphabet, so every string that UTF-8 can hold comes back exactly. What looks like a
special token in a text is text: only code adds special tokens, never somebody's sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from multimodal.errors import CheckpointError, ConfigError, TextError
from multimodal.language.corpus import sentences

__all__ = [
    "SPECIAL_TOKENS",
    "decode_ids",
    "encode_text",
    "load_text_tokenizer",
    "train_text_tokenizer",
]

MODALITIES: Final = ("image", "audio", "action")
SPECIAL_TOKENS: Final[tuple[str, ...]] = (
    "<pad>",
    "<bos>",
    "<eos>",
    *(f"<{name}>" for name in MODALITIES),
    *(f"<{name}_{end}>" for name in MODALITIES for end in ("start", "end")),
)
SMALLEST_VOCABULARY: Final = 256 + len(SPECIAL_TOKENS)
CORPUS_SENTENCES: Final = 40_000

# Signs hold any characters in any order: each is a token of its own, so that reading one is naming
# what is seen there. A capital that begins a word stays with it.
_SIGN_CHARACTER = Regex(r"[0-9]|(?<![a-z])[A-Z](?![a-z])")


def train_text_tokenizer(
    texts: Iterable[str] | None = None, vocab_size: int = 1024
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE.

    Args:
        texts: what to learn from; None takes the language of the world, training part only.
        vocab_size: most tokens, special ones and the 256 bytes included.

    Returns:
        The tokeniser; `save_pretrained` and `load_text_tokenizer` keep it. The same texts give
        the same tokeniser.

    Raises:
        ConfigError: `vocab_size` has no room for bytes and special tokens.
        TextError: a text that UTF-8 cannot hold.
    """
    if vocab_size < SMALLEST_VOCABULARY:
        raise ConfigError(
            f"vocab_size is {vocab_size}; expected {SMALLEST_VOCABULARY} or more: 256 bytes and "
            f"{len(SPECIAL_TOKENS)} special tokens."
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_SIGN_CHARACTER, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    corpus = sentences(CORPUS_SENTENCES) if texts is None else texts
    tokenizer.train_from_iterator((_checked(text) for text in corpus), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        extra_special_tokens=list(SPECIAL_TOKENS[3:]),
        split_special_tokens=True,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )


def load_text_tokenizer(name_or_dir: str | Path) -> PreTrainedTokenizerBase:
    """Load a tokeniser from a folder, or any from the Hugging Face hub by its name.

    The network is used only for a hub name whose files are not in the local cache.

    Raises:
        CheckpointError: the folder holds no tokeniser, or the hub name cannot be fetched.
    """
    is_folder = Path(name_or_dir).is_dir()
    try:
        return AutoTokenizer.from_pretrained(str(name_or_dir), local_files_only=is_folder)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        if is_folder:
            raise CheckpointError(
                f"{name_or_dir} holds no tokeniser that loads ({reason}); expected a folder "
                "written by save_pretrained, with tokenizer.json and tokenizer_config.json."
            ) from error
        raise CheckpointError(
            f"there is no folder {str(name_or_dir)!r}, and no tokeniser of that name could be "
            f"fetched from the hub ({reason}). Without a network, run `hf download {name_or_dir} "
            "--local-dir DIR` where there is one and pass DIR."
        ) from error


def encode_text(
    tokenizer: PreTrainedTokenizerBase, text: str, max_tokens: int | None = None
) -> list[int]:
    """Token ids of a text, without any special token; the empty text has none.

    Args:
        tokenizer: ours or any other.
        text: what to encode; `decode_ids` gives it back exactly where the tokeniser is ours.
        max_tokens: how many tokens there is room for.

    Raises:
        TextError: no str, not encodable as UTF-8, or longer than `max_tokens`.
    """
    ids: list[int] = tokenizer(
        _checked(text), add_special_tokens=False, split_special_tokens=True, verbose=False
    )["input_ids"]
    if max_tokens is not None and len(ids) > max_tokens:
        raise TextError(
            f"the text of {len(text):,} characters makes {len(ids):,} tokens and there is room "
            f"for {max_tokens:,}; shorten it or split it."
        )
    return ids


def decode_ids(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int] | Any) -> str:
    """The text of token ids; special tokens are written out.

    Args:
        tokenizer: ours or any other.
        ids: integers, as a list, an array or a tensor (N,).

    Raises:
        TextError: an id that the tokeniser does not know.
    """
    listed = [int(each) for each in ids]
    size = len(tokenizer)
    if unknown := sorted({each for each in listed if not 0 <= each < size}):
        raise TextError(
            f"the tokeniser knows ids 0 to {size - 1:,} and not {unknown[:5]}; ids of images, "
            "audio or actions are taken out before text is decoded."
        )
    decoded: str = tokenizer.decode(
        listed, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return decoded


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise TextError(f"a text is a str, got {type(text).__name__}; decode or convert it first.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TextError(
            f"character {error.start} of the text is the lone surrogate "
            f"{text[error.start]!r}, which is no character; read the text with its true encoding."
        ) from error
    return text
