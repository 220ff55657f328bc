"""From features of a vision tower to tokens of a language model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipEncoder

from multimodal.tower import attention_kind, part_sizes

__all__ = ["FrameTokens", "Projector"]

# Of each number of a word's embedding, about.
_WORD_SIZE = 0.1
_HEADS = 4
# Large enough to hide, and finite in bfloat16.
_HIDDEN = -1e9


@dataclass(frozen=True)
class FrameTokens:
    """The tokens that a frame takes in the language model, in their order.

    Attributes:
        rows: of blocks of the grid.
        columns: of blocks of the grid.
        things: K, those cut out of the frame.
        details: M, those that ask for what is printed.
    """

    rows: int
    columns: int
    things: int = 0
    details: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> FrameTokens:
        """Those of a model's configuration."""
        side, (rows, columns) = round(config["tokens"] ** 0.5), config["merge"]
        return cls(side // rows, side // columns, config.get("slots", 0), config.get("details", 0))

    @property
    def first_thing(self) -> int:
        """The number of the first thing's token."""
        return self.rows * self.columns

    @property
    def first_detail(self) -> int:
        """The number of the first detail's token."""
        return self.first_thing + self.things

    def slot_of(self, number: int) -> int | None:
        """Which thing a token shows; None for one that shows none."""
        return number - self.first_thing if self.first_thing <= number < self.first_detail else None

    @property
    def count(self) -> int:
        """Of all."""
        return self.first_detail + self.details


class Projector(nn.Module):
    """Features of the tower as tokens of the language model (arXiv 2310.03744's MLP).

    The grid's go through it in blocks. A thing's go through one linear map, so that what is apart
    in them stays apart; each part is scaled by itself, so that none drowns the others. What is
    smaller than a block, such as the bars of a chart, is fetched by tokens that ask for it. All
    tokens come out about as large as those of words.

    The tokens of a frame then look at one another: which thing is the leftmost, and which is the
    nearest to another, is told by no thing alone.

    Args:
        width: D, channels of the tower.
        out: W, channels of the language model.
        merge: rows and columns of the block that becomes one token.
        tokens: N of the grid; what comes after are things.
        details: M, how many tokens ask for details; 0 for none.
        exchanges: how often tokens look at one another; 0 for never.
    """

    def __init__(
        self,
        width: int,
        out: int,
        merge: tuple[int, int],
        tokens: int,
        details: int = 0,
        exchanges: int = 0,
    ) -> None:
        super().__init__()
        self.merge, self.tokens = merge, tokens
        self.layers = nn.Sequential(
            nn.Linear(merge[0] * merge[1] * width, out), nn.GELU(), nn.Linear(out, out)
        )
        self.parts = nn.ModuleList(nn.LayerNorm(size) for size in part_sizes(width))
        self.things = nn.Linear(width, out)
        self.norm = nn.RMSNorm(out)
        nn.init.constant_(self.norm.weight, _WORD_SIZE)
        self.details = _Details(width, out, details) if details else None
        self.exchange = _Exchange(out, exchanges) if exchanges else None

    def forward(self, features_BND: Tensor) -> Tensor:
        """Features (B, N + K, D) of square frames to tokens (B, N / block + K + M, W)."""
        grid, things = features_BND[:, : self.tokens], features_BND[:, self.tokens :]
        found = [self.layers(self.blocks(grid)), self.things(torch.cat(self._scaled(things), -1))]
        if self.details is not None:
            found.append(self.details(grid))
        tokens: Tensor = self.norm(torch.cat(found, 1).float())
        return tokens if self.exchange is None else tokens + self.exchange(tokens / _WORD_SIZE)

    def blocks(self, grid_BND: Tensor) -> Tensor:
        """The grid (B, N, D) of a square frame in blocks (B, N / block, block · D)."""
        side, (rows, columns) = round(self.tokens**0.5), self.merge
        grid = grid_BND.unflatten(1, (side // rows, rows, side // columns, columns))
        return grid.transpose(2, 3).flatten(3, 5).flatten(1, 2)

    def part_of(self, things_XD: Tensor, part: int) -> Tensor:
        """Things (..., D) as tokens (..., W) of one part alone, before they look at one another.

        Args:
            things_XD: features of things.
            part: 0 for the shape, 1 for the colour, 2 for the place.
        """
        kept = [
            each if number == part else torch.zeros_like(each)
            for number, each in enumerate(self._scaled(things_XD))
        ]
        tokens: Tensor = self.norm(self.things(torch.cat(kept, -1)).float())
        return tokens

    def _scaled(self, things: Tensor) -> list[Tensor]:
        sizes = part_sizes(things.shape[-1])
        apart = zip(self.parts, things.split(sizes, -1), strict=True)
        return [norm(part) for norm, part in apart]


class _Details(nn.Module):
    """Tokens that ask the grid, each for one detail (as object queries, arXiv 2005.12872)."""

    def __init__(self, width: int, out: int, details: int) -> None:
        super().__init__()
        self.asked = nn.Parameter(torch.randn(details, out))
        self.look = nn.MultiheadAttention(out, _HEADS, kdim=width, vdim=width, batch_first=True)
        self.tell = nn.Sequential(nn.LayerNorm(out), nn.Linear(out, out), nn.GELU())
        self.say = nn.Linear(out, out)

    def forward(self, grid_BND: Tensor) -> Tensor:
        """Features (B, N, D) to details (B, M, W)."""
        asked = self.asked.expand(len(grid_BND), -1, -1)
        # With the weights asked for, attention is plain products: the backward pass of the fused
        # one is slow in bfloat16 on CPUs.
        seen, _ = self.look(asked, grid_BND, grid_BND, need_weights=True)
        told: Tensor = self.say(self.tell(seen + asked))
        return told


class _Exchange(nn.Module):
    """What tokens of a frame learn from the others, and from the others only."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        config = SiglipVisionConfig(
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=_HEADS,
        )
        config._attn_implementation = attention_kind()
        self.encoder = SiglipEncoder(config)
        self.norm = nn.LayerNorm(width)
        self.tell = nn.Linear(width, width)
        # At first everything stays what it is by itself.
        nn.init.zeros_(self.tell.weight)
        nn.init.zeros_(self.tell.bias)

    def forward(self, tokens_BNW: Tensor) -> Tensor:
        """Tokens (B, N, W) to what is added to them."""
        count = tokens_BNW.shape[1]
        itself = torch.eye(count, device=tokens_BNW.device, dtype=torch.bool)
        mask = torch.zeros(1, 1, count, count, device=tokens_BNW.device)
        seen = self.encoder(tokens_BNW, mask.masked_fill(itself, _HIDDEN)).last_hidden_state
        told: Tensor = self.tell(self.norm(seen))
        return told
