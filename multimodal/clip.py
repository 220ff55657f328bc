"""CLIP on the shared trunk: pictures and texts as unit vectors that agree where the text is true.

`ImageTextModel` is what the rest of the project asks of any such model; `SharedClip` is ours,
`multimodal.hub_clip.HubClip` is any of the Hugging Face hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerBase

from multimodal.errors import TextError
from multimodal.eyes import Eyes
from multimodal.glance import GlanceLayout
from multimodal.text_tokenizer import encode_text, load_text_tokenizer
from multimodal.tower import AttentionPool, VisionTower, attention_kind
from multimodal.trunk import BATCH

__all__ = ["ClipModel", "ImageTextModel", "SharedClip", "text_ids"]

PAD, BOS, EOS = 0, 1, 2
LARGEST_SCALE = 100.0
TEXT_FOLDER = "text"


class ImageTextModel(Protocol):
    """Whatever gives pictures and texts comparable unit vectors."""

    def encode_image(self, frames: Tensor | NDArray[Any]) -> Tensor:
        """Frames uint8 (B, H, W, 3) to unit vectors float (B, E)."""

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Texts to unit vectors float (len(texts), E)."""


def text_ids(tokenizer: PreTrainedTokenizerBase, text: str, length: int) -> NDArray[np.int64]:
    """A text as the text tower reads it: begin, tokens, end, padding; int64 (length,).

    Raises:
        TextError: it is empty or needs more than `length` tokens.
    """
    if not text.strip():
        raise TextError("the text is empty; describe what the picture may show.")
    ids = [BOS, *encode_text(tokenizer, text, length - 2), EOS]
    padded = np.full(length, PAD, np.int64)
    padded[: len(ids)] = ids
    return padded


class ClipModel(ModelMixin, ConfigMixin):
    """Two towers and a temperature (arXiv 2103.00020), the picture's on the trunk's latents.

    Args:
        trunk: fingerprint of the encoder whose latents it reads.
        size_px: side of the frames.
        channels: C of the latents.
        tokens: N of a frame.
        width: channels of the vision tower.
        hidden: channels inside its feed-forward layers.
        layers: its layers.
        heads: its attention heads.
        vocabulary: number of text tokens.
        text_length: most text tokens, begin and end included.
        text_width: channels of the text tower.
        text_layers: its layers.
        text_heads: its attention heads.
        embedding: E, channels of the shared space.
        neighbours: convolutions of the vision tower over neighbouring tokens.
        changes: whether the vision tower can also read what changed since an earlier frame; CLIP
            itself looks at stills.
        reader: fingerprint of the reader of layers whose things it reads; empty for none.
        slots: K, the most things that are told apart; 0 for none.
        fine_px: side of the frame whose pixels it reads beside the trunk's tokens; 0 for none.
    """

    @register_to_config
    def __init__(
        self,
        trunk: str = "",
        size_px: int = 64,
        channels: int = 32,
        tokens: int = 64,
        width: int = 192,
        hidden: int = 512,
        layers: int = 4,
        heads: int = 6,
        vocabulary: int = 683,
        text_length: int = 48,
        text_width: int = 128,
        text_layers: int = 2,
        text_heads: int = 4,
        embedding: int = 128,
        neighbours: int = 0,
        changes: bool = False,
        reader: str = "",
        slots: int = 0,
        fine_px: int = 0,
    ) -> None:
        super().__init__()
        self.layout = GlanceLayout(tokens, channels, slots, fine_px)
        self.tower = VisionTower(self.layout, width, hidden, layers, heads, neighbours, changes)
        self.pool = AttentionPool(width, hidden, heads, tokens)
        text = CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=text_width,
            intermediate_size=4 * text_width,
            num_hidden_layers=text_layers,
            num_attention_heads=text_heads,
            max_position_embeddings=text_length,
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=EOS,
        )
        text._attn_implementation = attention_kind()
        self.text = CLIPTextModel(text)
        self.image_projection = nn.Linear(width, embedding, bias=False)
        self.text_projection = nn.Linear(text_width, embedding, bias=False)
        self.words_projection = nn.Linear(text_width, embedding, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    @classmethod
    def from_pretrained(cls, folder: Any, **options: Any) -> Any:
        """Load it; buffers that are not saved have to be made, so not from empty weights."""
        return super().from_pretrained(
            folder, **{"low_cpu_mem_usage": False, "use_safetensors": True, **options}
        )

    @property
    def scale(self) -> Tensor:
        """What similarities are multiplied with: one over the learned temperature."""
        return self.log_scale.exp().clamp(max=LARGEST_SCALE)

    def features(self, glances_BP: Tensor) -> Tensor:
        """The vision tower's features (B, N + K, D)."""
        return self.tower(glances_BP)

    def image_vectors(self, features_BND: Tensor) -> Tensor:
        """Unit vectors (B, E) of whole pictures."""
        return F.normalize(self.image_projection(self.pool(features_BND)).float(), dim=-1)

    def place_vectors(self, features_XD: Tensor) -> Tensor:
        """Unit vectors (X, E) of single places of pictures."""
        return F.normalize(self.image_projection(features_XD).float(), dim=-1)

    def text_vectors(self, ids_BT: Tensor) -> Tensor:
        """Unit vectors (B, E) of texts made by `text_ids`; columns of padding cost nothing."""
        length = int((ids_BT != PAD).sum(-1).max())
        ids = ids_BT[:, :length]
        hidden = self.text(input_ids=ids).last_hidden_state
        # CLIPTextModel's own pooling takes the highest id where the end token is number 2.
        last = (ids == EOS).int().argmax(-1)
        pooled = hidden[torch.arange(len(ids), device=ids.device), last]
        # What the words say one by one, beside what they say together: two that were never read
        # together still say what each of them says.
        words = self.text.get_input_embeddings()(ids)
        known = (ids > EOS)[..., None]
        mean = (words * known).sum(1) / known.sum(1).clamp(min=1)
        said = self.text_projection(pooled) + self.words_projection(mean)
        return F.normalize(said.float(), dim=-1)


@dataclass(frozen=True)
class SharedClip:
    """Our CLIP with what it reads through.

    Attributes:
        model: the two towers.
        eyes: the world model's, that it sees through.
        tokenizer: of texts.
    """

    model: ClipModel
    eyes: Eyes
    tokenizer: PreTrainedTokenizerBase

    def __post_init__(self) -> None:
        self.eyes.require(self.model.config.trunk, self.model.config.reader, "this CLIP")

    @classmethod
    def from_pretrained(cls, folder: Path | str, eyes: Eyes) -> SharedClip:
        """Load what `save_pretrained` wrote.

        Raises:
            CheckpointError: other eyes than it was trained with, or no tokeniser of texts.
        """
        model = ClipModel.from_pretrained(folder, torch_dtype=torch.float32).eval()
        return cls(model, eyes, load_text_tokenizer(Path(folder) / TEXT_FOLDER))

    def save_pretrained(self, folder: Path | str) -> None:
        """Write model and text tokeniser; the eyes are named by fingerprints, not copied."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(Path(folder) / TEXT_FOLDER)

    @torch.no_grad()
    def encode_image(self, frames: Tensor | NDArray[Any]) -> Tensor:
        """Unit vectors of frames.

        Args:
            frames: uint8 or float in [0, 1], (B, H, W, 3).

        Returns:
            float32 (B, E).

        Raises:
            FrameError: malformed frames, or frames of another size than it was trained at.
        """
        seen = self.eyes.look(frames, self.model.config.size_px, self.model.layout)
        parts = [self.model.image_vectors(self.model.features(part)) for part in seen.split(BATCH)]
        return torch.cat(parts)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors of texts, float32 (len(texts), E).

        Raises:
            TextError: no text, an empty text, or one that is too long.
        """
        if isinstance(texts, str) or not len(texts):
            raise TextError("expected a list of texts, one or more; a single text is [text].")
        length = cast(int, self.model.config.text_length)
        ids = np.stack([text_ids(self.tokenizer, text, length) for text in texts])
        parts = [self.model.text_vectors(part) for part in torch.from_numpy(ids).split(4 * BATCH)]
        return torch.cat(parts)
