"""The vision tower: transformer layers over the trunk's tokens, where a frame becomes things."""

from __future__ import annotations

import torch
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


class VisionTower(nn.Module):
    """SigLIP's encoder (arXiv 2303.15343) with latent tokens in place of patches.

    Args:
        channels: C of the trunk's latents.
        tokens: N of a frame; each has a learned position.
        width: D, channels of the transformer.
        hidden: channels inside its feed-forward layers.
        layers: number of layers.
        heads: attention heads.
    """

    def __init__(
        self, channels: int, tokens: int, width: int, hidden: int, layers: int, heads: int
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(channels, width)
        self.positions = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.encoder = SiglipEncoder(_config(width, hidden, layers, heads))
        self.norm = nn.LayerNorm(width)

    def forward(self, latents_BNC: Tensor) -> Tensor:
        """Latents (B, N, C) of any float type to features (B, N, D)."""
        embedded = self.embed(latents_BNC.to(self.embed.weight.dtype)) + self.positions
        return self.norm(self.encoder(inputs_embeds=embedded).last_hidden_state)


class AttentionPool(nn.Module):
    """SigLIP's pooling head: one learned query over all features of a frame."""

    def __init__(self, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.head = SiglipMultiheadAttentionPoolingHead(_config(width, hidden, 1, heads))

    def forward(self, features_BND: Tensor) -> Tensor:
        """Features (B, N, D) to (B, D)."""
        return self.head(features_BND)
