"""A trained discrete exit of the shared trunk: a frame's latents as a few integers, and back.

The trunk stays as it is. Its own rounding is of all 32 channels, more than a sequence model can
afford to predict; what is learned here looks across tokens and needs one small code for each.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from multimodal import fsq
from multimodal.errors import FrameError

__all__ = ["REACH", "ImageCodes"]

REACH = 2.5


class _Block(nn.Module):
    """A convolution across neighbouring tokens around a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.look = nn.Conv2d(width, width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.mix.weight)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.mix(F.silu(self.look(self.norm(x_BCHW))))


class ImageCodes(ModelMixin, ConfigMixin):
    """Grouped finite scalar quantisation (arXiv 2309.15505) between two small convolutional nets.

    Args:
        trunk: fingerprint of the encoder whose latents it codes.
        channels: C of the latents.
        width: channels of the nets.
        depth: blocks on either side.
        levels: of each digit.
        digits: of each code: levels ** digits codes.
        groups: codes for each token.
    """

    @register_to_config
    def __init__(
        self,
        trunk: str = "",
        channels: int = 32,
        width: int = 64,
        depth: int = 2,
        levels: int = 7,
        digits: int = 4,
        groups: int = 1,
    ) -> None:
        super().__init__()
        numbers = digits * groups
        self.enter = nn.Conv2d(channels, width, 1)
        self.before = nn.Sequential(*(_Block(width) for _ in range(depth)))
        self.narrow = nn.Conv2d(width, numbers, 1)
        self.widen = nn.Conv2d(numbers, width, 1)
        self.after = nn.Sequential(*(_Block(width) for _ in range(depth)))
        self.leave = nn.Conv2d(width, channels, 1)

    @property
    def codes(self) -> int:
        """How many values a code has."""
        return int(self.config.levels**self.config.digits)

    def numbers(self, latents_BNC: Tensor) -> Tensor:
        """What is rounded: float (B, N, digits · groups) within the reach of `multimodal.fsq`."""
        side = round(latents_BNC.shape[1] ** 0.5)
        if latents_BNC.ndim != 3 or side * side != latents_BNC.shape[1]:
            raise FrameError(
                f"Expected latents (B, N, C) of square frames, got {tuple(latents_BNC.shape)}."
            )
        grid = latents_BNC.transpose(1, 2).unflatten(2, (side, side))
        narrow = self.narrow(self.before(self.enter(grid)))
        return REACH * torch.tanh(narrow).flatten(2).transpose(1, 2)

    def encode(self, latents_BNC: Tensor) -> Tensor:
        """Latents of square frames, float (B, N, C), to codes int64 (B, N, groups).

        Raises:
            FrameError: malformed latents.
        """
        return fsq.quantize(
            self.numbers(latents_BNC.float()), self.config.levels, self.config.groups
        )

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, N, groups) to latents (B, N, C) of unit RMS.

        Raises:
            FrameError: codes that do not exist.
        """
        if codes.numel() and (int(codes.min()) < 0 or int(codes.max()) >= self.codes):
            raise FrameError(f"codes of images are 0 to {self.codes - 1:,}, got others.")
        return self.latents(self.digit_values(codes))

    def digit_values(self, codes: Tensor) -> Tensor:
        """The rounded numbers (..., digits · groups) that codes (..., groups) stand for."""
        config: Any = self.config
        return fsq.dequantize(codes, config.levels, config.digits * config.groups)

    def latents(self, numbers: Tensor) -> Tensor:
        """Numbers (B, N, digits · groups) to latents (B, N, C) of unit RMS."""
        side = round(numbers.shape[1] ** 0.5)
        grid = numbers.transpose(1, 2).unflatten(2, (side, side))
        made = self.leave(self.after(self.widen(grid))).flatten(2).transpose(1, 2)
        return made * torch.rsqrt(made.square().mean(-1, keepdim=True) + 1e-6)
