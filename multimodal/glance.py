"""What a frame is to CLIP and the vision-language model: one row of numbers with named parts.

A row holds the trunk's tokens, what the world model's reader of layers cut out, and the pixels, for
print that is finer than a token. One row, so that frames are kept, gathered and batched as one
thing; a model says by its configuration which parts it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from multimodal.things import THING

__all__ = ["Glance", "GlanceLayout"]


class Glance(NamedTuple):
    """The parts of B frames.

    Attributes:
        latents: the trunk's tokens (B, N, C).
        things: what can be moved (B, K, THING), K may be 0; see `multimodal.things.Things`.
        pixels: in [0, 1], (B, 3, S, S), S may be 0.
    """

    latents: Tensor
    things: Tensor
    pixels: Tensor


@dataclass(frozen=True)
class GlanceLayout:
    """Which parts a row has.

    Attributes:
        tokens: N of a frame.
        channels: C of the trunk's latents.
        slots: K, the most things that are told apart; 0 for none.
        fine_px: S, side of the frame whose pixels are read; 0 for none.
    """

    tokens: int
    channels: int
    slots: int = 0
    fine_px: int = 0

    @property
    def numbers(self) -> int:
        """P, the length of a row."""
        return self.tokens * self.channels + self.slots * THING + 3 * self.fine_px**2

    def parts(self, glances_BP: Tensor) -> Glance:
        """Take rows (B, P) apart."""
        sizes = (self.tokens * self.channels, self.slots * THING, 3 * self.fine_px**2)
        latents, things, pixels = glances_BP.split(sizes, -1)
        return Glance(
            latents.unflatten(-1, (self.tokens, self.channels)),
            things.reshape(*things.shape[:-1], self.slots, THING),
            pixels.reshape(*pixels.shape[:-1], 3, self.fine_px, self.fine_px),
        )

    def row(self, latents: Tensor, things: Tensor | None, frames: Tensor) -> Tensor:
        """Put rows (B, P) together, float32.

        Args:
            latents: (B, N, C).
            things: (B, K, THING); None without slots.
            frames: uint8 (B, H, W, 3).
        """
        parts = [latents.float().flatten(1)]
        if things is not None and self.slots:
            parts.append(things.float().flatten(1))
        if self.fine_px:
            pixels = frames.to(latents.device).permute(0, 3, 1, 2)
            parts.append(pixels.float().flatten(1) / 255)
        return torch.cat(parts, 1)
