"""Early fusion: one Llama over one vocabulary for everything that is seen, heard, said and done."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from transformers import DynamicCache, LlamaConfig, LlamaModel

from multimodal.errors import SequenceError
from multimodal.sequence import Modality, Vocabulary
from multimodal.tower import attention_kind

__all__ = ["NativeModel"]


class NativeModel(ModelMixin, ConfigMixin):
    """Chameleon's form (arXiv 2405.09818): no encoder of its own, every modality is ids.

    Beside its id a token carries its modality, and inside an image its place.

    Args:
        vocabulary: fields of `Vocabulary`.
        trunk: fingerprint of the encoder whose images it reads.
        width: channels.
        hidden: channels inside the feed-forward layers.
        layers: how many.
        heads: attention heads.
        places: most ids of an image.
        length: most tokens of a sequence.
    """

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
    ) -> None:
        super().__init__()
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in vocabulary.items()
        }
        self.words = Vocabulary(**fields)
        self.embed = nn.Embedding(self.words.size, width)
        self.modality = nn.Embedding(len(Modality), width)
        self.place = nn.Embedding(places + 1, width)
        self.value = nn.Linear(self.words.actions[0], width, bias=False)
        for table in (self.embed, self.modality, self.place):
            nn.init.normal_(table.weight, std=0.02)
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
        self.body = LlamaModel(config)
        # Its own table of embeddings would be a second one.
        self.body.embed_tokens = None

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
    def start_rows(self, modality: Modality, vectors: Tensor, seed: int = 0) -> None:
        """Let codes that stand for similar things begin with similar embeddings.

        Args:
            modality: whose codes.
            vectors: what each code stands for, float (codes, D); each column of codes gets the
                same, by a random projection.
            seed: of the projection.
        """
        columns, values = self.words.shape(modality)
        generator = torch.Generator().manual_seed(seed)
        flat = (vectors - vectors.mean(0)) / vectors.std().clamp(min=1e-6)
        project = torch.randn(flat.shape[1], self.embed.embedding_dim, generator=generator)
        rows = 0.02 * (flat @ project) * flat.square().sum(-1).mean().rsqrt()
        first = self.words.offset(modality)
        for column in range(columns):
            begin = first + column * values
            self.embed.weight[begin : begin + values] += rows

    def hidden(
        self,
        ids: Tensor,
        modalities: Tensor,
        within: Tensor,
        values: Tensor,
        positions: Tensor,
        cache: DynamicCache | None = None,
    ) -> Tensor:
        """The last hidden state (B, L, width) of rows from `multimodal.sequence.assemble`.

        Raises:
            SequenceError: a row is longer than the model has positions.
        """
        if int(positions.max()) >= self.config.length:
            raise SequenceError(
                f"the sequence has {int(positions.max()) + 1} tokens and the model positions for "
                f"{self.config.length}; leave something out."
            )
        in_image = torch.where(modalities == Modality.IMAGE, within, 0)
        embedded = self.embed(ids) + self.modality(modalities)
        embedded = embedded + self.place(in_image) + self.value(values.to(self.dtype))
        return self.body(
            inputs_embeds=embedded,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (..., ids) of the token that follows each hidden state."""
        return hidden @ self.embed.weight.T
