"""Early fusion: one Llama over one vocabulary for everything that is seen, heard, said and done."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from transformers import DynamicCache, LlamaConfig, LlamaModel

from multimodal.errors import ConfigError, SequenceError
from multimodal.fsq import digits_of_codes
from multimodal.sequence import Modality, Vocabulary
from multimodal.tower import attention_kind

__all__ = ["NativeModel"]

_STD = 0.02
# What a code stands for says more at first than which one it is.
_KNOWN = 5


class NativeModel(ModelMixin, ConfigMixin):
    """Chameleon's form (arXiv 2405.09818): no encoder of its own, every modality is ids.

    Beside its id a token carries its modality, and inside an image its place. Codes of images are
    read by their digits, so that a rare code is understood as its neighbours are, and units of
    speech by the sound they stand for; what is read and what is written is one table.

    Args:
        vocabulary: fields of `Vocabulary`.
        trunk: fingerprint of the encoder whose images it reads.
        width: channels.
        hidden: channels inside the feed-forward layers.
        layers: how many.
        heads: attention heads.
        places: most ids of an image.
        length: most tokens of a sequence.
        digits: levels of each digit of an image's code, and digits of a code.
        bands: numbers that say how a unit of speech sounds.

    Raises:
        ConfigError: other digits than the vocabulary's codes of images have.
    """

    known_digits: Tensor
    known_sounds: Tensor

    @register_to_config
    def __init__(
        self,
        vocabulary: dict[str, Any],
        trunk: str = "",
        width: int = 128,
        hidden: int = 384,
        layers: int = 4,
        heads: int = 4,
        places: int = 64,
        length: int = 512,
        digits: tuple[int, int] = (5, 5),
        bands: int = 80,
    ) -> None:
        super().__init__()
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in vocabulary.items()
        }
        self.words = Vocabulary(**fields)
        columns, codes = self.words.image
        if digits[0] ** digits[1] != codes:
            raise ConfigError(
                f"{digits[1]} digits of {digits[0]} levels make {digits[0] ** digits[1]:,} codes, "
                f"the vocabulary has {codes:,}; pass the levels and digits of the image codes."
            )
        self.embed = nn.Embedding(self.words.size - columns * codes, width)
        self.modality = nn.Embedding(len(Modality), width)
        self.place = nn.Embedding(places + 1, width)
        self.value = nn.Linear(self.words.actions[0], width, bias=False)
        for table in (self.embed, self.modality, self.place):
            nn.init.normal_(table.weight, std=_STD)
        self.register_buffer("known_digits", digits_of_codes(*digits), persistent=False)
        self.read_digits = nn.ModuleList(
            _digit_reader(digits[0] * digits[1], width) for _ in range(columns)
        )
        self.register_buffer("known_sounds", torch.zeros(self.words.audio[1], bands))
        self.read_sounds = nn.Linear(bands, width, bias=False)
        nn.init.normal_(self.read_sounds.weight, std=_KNOWN * _STD / bands**0.5)
        self.body = _body(width, hidden, layers, heads, length)

    @classmethod
    def from_pretrained(cls, folder: Any, **options: Any) -> Any:
        """Load it; buffers that are not saved have to be made, so not from empty weights."""
        return super().from_pretrained(
            folder, **{"low_cpu_mem_usage": False, "use_safetensors": True, **options}
        )

    @staticmethod
    def plain(vocabulary: Vocabulary) -> dict[str, Any]:
        """A vocabulary as the configuration holds it."""
        return asdict(vocabulary)

    @torch.no_grad()
    def explain_sounds(self, features: Tensor) -> None:
        """Say how the units of speech sound, float (units, bands)."""
        spread = features.std().clamp(min=1e-6)
        self.known_sounds.copy_((features - features.mean(0)) / spread)

    def table(self) -> Tensor:
        """What each id is read and written as, (ids, width)."""
        text, sounds = self.words.text, self.words.audio
        rows = self.embed.weight
        images = [net(self.known_digits) for net in self.read_digits]
        end = text + sounds[0] * sounds[1]
        heard = rows[text:end] + self.read_sounds(self.known_sounds).repeat(sounds[0], 1)
        return torch.cat([rows[:text], *images, heard, rows[end:]])

    def hidden(
        self,
        ids: Tensor,
        modalities: Tensor,
        within: Tensor,
        values: Tensor,
        positions: Tensor,
        cache: DynamicCache | None = None,
        table: Tensor | None = None,
    ) -> Tensor:
        """The last hidden state (B, L, width) of rows from `multimodal.sequence.assemble`.

        Args:
            ids: of the tokens, int64 (B, L), as all but the last three.
            modalities: theirs.
            within: places inside images, sounds and actions.
            values: of continuous actions, float (B, L, A).
            positions: in the row.
            cache: of the tokens before.
            table: what `table` gave, where it is at hand.

        Raises:
            SequenceError: a row is longer than the model has positions.
        """
        if int(positions.max()) >= self.config.length:
            raise SequenceError(
                f"the sequence has {int(positions.max()) + 1} tokens and the model positions for "
                f"{self.config.length}; leave something out."
            )
        in_image = torch.where(modalities == Modality.IMAGE, within, 0)
        table = self.table() if table is None else table
        embedded = F.embedding(ids, table) + self.modality(modalities)
        embedded = embedded + self.place(in_image) + self.value(values.to(self.dtype))
        return self.body(
            inputs_embeds=embedded,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def logits(self, hidden: Tensor, table: Tensor | None = None) -> Tensor:
        """Logits (..., ids) of the token that follows each hidden state; `table` as in `hidden`."""
        return hidden @ (self.table() if table is None else table).T.to(hidden.dtype)

    def likeness(self, ids: Tensor, table: Tensor) -> Tensor:
        """How much tokens look like each word before anything else is read, logits (X, text).

        Args:
            ids: int64 (X,).
            table: what `table` gave.
        """
        looks = F.rms_norm(F.embedding(ids, table).float(), table.shape[1:])
        return looks @ table[: self.words.text].float().T


def _digit_reader(numbers: int, width: int) -> nn.Sequential:
    last = nn.Linear(width, width, bias=False)
    nn.init.normal_(last.weight, std=_KNOWN * _STD / width**0.5)
    return nn.Sequential(nn.Linear(numbers, width), nn.GELU(), last)


def _body(width: int, hidden: int, layers: int, heads: int, length: int) -> LlamaModel:
    config = LlamaConfig(
        vocab_size=1,
        hidden_size=width,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=length,
        bos_token_id=None,
        eos_token_id=None,
    )
    config._attn_implementation = attention_kind()
    body = LlamaModel(config)
    # Its own table of embeddings would be a second one.
    body.embed_tokens = None
    return body
