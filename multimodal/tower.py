"""The vision tower: a grid of what is where, and the things one by one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, cos, nn, sin
from transformers import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import (
    SiglipEncoder,
    SiglipMultiheadAttentionPoolingHead,
)

from multimodal.glance import GlanceLayout
from multimodal.things import SILHOUETTE_PX, Things, shift_of

__all__ = ["AttentionPool", "VisionTower", "attention_kind", "part_sizes"]

# Column and row, their waves, the shift, whether driven, whether present.
_PLACED = 2 + 8 + 2 + 2
# A shift of two pixels is what has to be told from none.
_SHIFT = 8.0


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


class _FinePatches(nn.Module):
    """Pixels as tokens of eight by eight, for print whose strokes are finer than a token.

    Convolutions before the patches are cut make small models see shapes from less data (arXiv
    2106.14881).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, 32, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(32, 64, 3, 2, padding=1),
            nn.GELU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.GELU(),
            nn.PixelUnshuffle(2),
            nn.Conv2d(256, width, 1),
        )

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Pixels in [0, 1] to tokens (B, N, D)."""
        # bfloat16 convolutions of so few channels end in NaN gradients on CPUs.
        with torch.autocast(pixels_BCHW.device.type, enabled=False):
            found: Tensor = self.layers(pixels_BCHW.float() - 0.5)
        return found.flatten(2).transpose(1, 2)


def part_sizes(width: int) -> tuple[int, int, int]:
    """Channels of a thing's shape, colour and place in its token."""
    part = width // 3
    return width - 2 * part, part, part


class _ThingTokens(nn.Module):
    """Each thing as a token of three parts that do not mix: shape, colour and place.

    A thing of a colour and a shape that were never seen together then looks like neither more nor
    less than its colour and its shape.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        shape, colour, place = part_sizes(width)
        self.shape = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(16, 32, 3, 2, padding=1),
            nn.GELU(),
            nn.Conv2d(32, 32, 3, 2, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(32 * (SILHOUETTE_PX // 4) ** 2, shape),
        )
        self.colour = nn.Sequential(nn.Linear(3, 64), nn.GELU(), nn.Linear(64, colour))
        self.place = nn.Sequential(nn.Linear(_PLACED, 64), nn.GELU(), nn.Linear(64, place))
        self.nothing = nn.Parameter(0.02 * torch.randn(width))

    def forward(self, things_BKT: Tensor, before_BKT: Tensor | None = None) -> Tensor:
        """Things, and those of an earlier frame to compare with, to tokens (B, K, D)."""
        things = Things.of(things_BKT.float())
        batch, slots = things.present.shape[:2]
        shift = torch.zeros_like(things.place)
        if before_BKT is not None:
            shift = shift_of(things, Things.of(before_BKT.float()))
        # Convolutions and places of bfloat16 are too coarse.
        with torch.autocast(things_BKT.device.type, enabled=False):
            shape = self.shape(things.silhouette.flatten(0, 1)[:, None]).unflatten(
                0, (batch, slots)
            )
            waves = [wave(k * torch.pi * things.place) for k in (1, 2) for wave in (sin, cos)]
            flags = torch.cat([things.driven, things.present], -1)
            placed = torch.cat([things.place, *waves, _SHIFT * shift, flags], -1)
            tokens = torch.cat([shape, self.colour(things.colour), self.place(placed)], -1)
        return torch.where(things.present > 0.5, tokens, self.nothing.to(tokens.dtype))


class VisionTower(nn.Module):
    """What is where on a grid, and then thing by thing.

    The grid goes through SigLIP's encoder (arXiv 2303.15343) with the trunk's tokens in place of
    patches. Things pass it by: what one looks like needs nothing from its surroundings.

    Args:
        layout: of the rows that it reads.
        width: D, channels of the features.
        hidden: channels inside the encoder's feed-forward layers.
        layers: number of its layers.
        heads: attention heads.
        neighbours: convolutions over neighbouring tokens before the transformer.
        changes: whether it also reads what changed since an earlier frame.
    """

    def __init__(
        self,
        layout: GlanceLayout,
        width: int,
        hidden: int,
        layers: int,
        heads: int,
        neighbours: int = 0,
        changes: bool = False,
    ) -> None:
        super().__init__()
        self.layout, self.changes = layout, changes
        self.embed = nn.Linear(layout.channels, width)
        self.positions = nn.Parameter(0.02 * torch.randn(layout.tokens, width))
        self.fine = _FinePatches(width) if layout.fine_px else None
        self.changed = nn.Linear(layout.channels, width, bias=False) if changes else None
        self.neighbours = nn.Sequential(*(_Neighbours(width) for _ in range(neighbours)))
        self.encoder = SiglipEncoder(_config(width, hidden, layers, heads))
        self.norm = nn.LayerNorm(width)
        self.things = _ThingTokens(width) if layout.slots else None

    def forward(self, glances_BP: Tensor, before_BP: Tensor | None = None) -> Tensor:
        """Frames to features (B, N + K, D): those of the grid, then those of the things.

        Args:
            glances_BP: the frames, of any float type.
            before_BP: those to compare with; None, or a frame itself, where there is none.
        """
        seen = self.layout.parts(glances_BP)
        before = self.layout.parts(before_BP) if self.changes and before_BP is not None else None
        kind = self.embed.weight.dtype
        latents = seen.latents.to(kind)
        embedded = self.embed(latents) + self.positions
        if self.changed is not None and before is not None:
            embedded = embedded + self.changed(latents - before.latents.to(kind))
        if self.fine is not None:
            embedded = embedded + self.fine(seen.pixels).to(embedded.dtype)
        grid = self.encoder(inputs_embeds=self.neighbours(embedded)).last_hidden_state
        features: Tensor = self.norm(grid)
        if self.things is None:
            return features
        earlier = None if before is None else before.things
        return torch.cat([features, self.things(seen.things, earlier).to(features.dtype)], 1)


class AttentionPool(nn.Module):
    """A whole frame: SigLIP's pooling head over all features, and beside it the things alone.

    The things' share is a weighted mean and nothing else, so that a frame of one thing is described
    by what describes the thing.

    Args:
        width: D.
        hidden: channels inside the head's feed-forward layer.
        heads: its attention heads.
        tokens: N of the grid; what comes after are things.
    """

    def __init__(self, width: int, hidden: int, heads: int, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.head = SiglipMultiheadAttentionPoolingHead(_config(width, hidden, 1, heads))
        self.weight = nn.Linear(width, 1)

    def forward(self, features_BND: Tensor) -> Tensor:
        """Features (B, N + K, D) to (B, D)."""
        whole: Tensor = self.head(features_BND)
        things = features_BND[:, self.tokens :]
        if not things.shape[1]:
            return whole
        return whole + (self.weight(things).softmax(1) * things).sum(1)
