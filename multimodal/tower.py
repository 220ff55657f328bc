"""The vision tower: layers over the trunk's tokens, where patches become things."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import (
    SiglipEncoder,
    SiglipMultiheadAttentionPoolingHead,
)

__all__ = ["AttentionPool", "VisionTower", "attention_kind"]


def attention_kind() -> str:
    """Which of transformers' attentions to build with.

    On CPUs the backward pass of torch's fused attention takes longer in bfloat16 than all matrix
    products of a small model together.
    """
    return "sdpa" if torch.cuda.is_available() else "eager"


def _config(width: int, hidden: int, layers: int, heads: int) -> SiglipVisionConfig:
    config = SiglipVisionConfig(
        hidden_size=width,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
    )
    config._attn_implementation = attention_kind()
    return config


class _Neighbours(nn.Module):
    """A residual 3×3 convolution over the grid of tokens.

    The trunk encodes every patch by itself and an object lies across several: attention would
    first have to learn which positions are neighbours.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gather = nn.Conv2d(width, width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        side = round(tokens_BND.shape[1] ** 0.5)
        grid = self.norm(tokens_BND).transpose(1, 2).unflatten(2, (side, side))
        return tokens_BND + self.mix(F.gelu(self.gather(grid))).flatten(2).transpose(1, 2)


class VisionTower(nn.Module):
    """SigLIP's encoder (arXiv 2303.15343) with latent tokens in place of patches.

    Args:
        channels: C of the trunk's latents.
        tokens: N of a frame; each has a learned position.
        width: D, channels of the transformer.
        hidden: channels inside its feed-forward layers.
        layers: number of layers.
        heads: attention heads.
        neighbours: convolutions over neighbouring tokens before the transformer.
        changes: whether it also reads what changed since an earlier frame.
    """

    def __init__(
        self,
        channels: int,
        tokens: int,
        width: int,
        hidden: int,
        layers: int,
        heads: int,
        neighbours: int = 0,
        changes: bool = False,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(channels, width)
        self.positions = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.changed = nn.Linear(channels, width, bias=False) if changes else None
        self.neighbours = nn.Sequential(*(_Neighbours(width) for _ in range(neighbours)))
        self.encoder = SiglipEncoder(_config(width, hidden, layers, heads))
        self.norm = nn.LayerNorm(width)

    def forward(self, latents_BNC: Tensor, changes_BNC: Tensor | None = None) -> Tensor:
        """Latents of any float type to features (B, N, D).

        Args:
            latents_BNC: of the frames.
            changes_BNC: the latents less those of the frame to compare with; None and zeros where
                there is none.
        """
        kind = self.embed.weight.dtype
        embedded = self.embed(latents_BNC.to(kind)) + self.positions
        if self.changed is not None and changes_BNC is not None:
            embedded = embedded + self.changed(changes_BNC.to(kind))
        return self.norm(self.encoder(inputs_embeds=self.neighbours(embedded)).last_hidden_state)


class AttentionPool(nn.Module):
    """SigLIP's pooling head: one learned query over all features of a frame."""

    def __init__(self, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.head = SiglipMultiheadAttentionPoolingHead(_config(width, hidden, 1, heads))

    def forward(self, features_BND: Tensor) -> Tensor:
        """Features (B, N, D) to (B, D)."""
        return self.head(features_BND)
