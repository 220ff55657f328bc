"""The video tokeniser: frames to a small grid of continuous latents and back.

Every 8×8 patch is encoded by itself, so latents change only where pixels change; the decoder
looks across patches. And every frame is encoded by itself. That is the strictest form of
causality: a still is a clip of one frame, a clip may start anywhere, and a rollout's memory does
not grow with its length. What happens over time is the dynamics' business.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from numpy.typing import NDArray
from torch import Tensor, nn

from multimodal import fsq
from multimodal.errors import FrameError

__all__ = ["VideoTokenizer", "frames_tensor", "to_uint8"]

STRIDE = 8


def frames_tensor(frames: Tensor | NDArray[np.uint8], size_px: int | None = None) -> Tensor:
    """Check frames and return them as a tensor.

    Args:
        frames: uint8 or float in [0, 1], (..., H, W, 3), channels last.
        size_px: the side the frames must have, if it matters.

    Returns:
        The same frames as a torch tensor of the same dtype.

    Raises:
        FrameError: wrong rank, channel order, dtype, size or value range.
    """
    try:
        tensor = torch.as_tensor(frames)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FrameError(f"Frames must be an array of pixels, got {type(frames)}.") from error
    shape = tuple(tensor.shape)
    if tensor.ndim < 3 or shape[-1] != 3:
        hint = ""
        if tensor.ndim >= 3 and shape[-3] == 3:
            hint = " The channels come first: transpose (C, H, W) to (H, W, C)."
        raise FrameError(f"Frames must have shape (..., H, W, 3), got {shape}.{hint}")
    height, width = shape[-3:-1]
    if size_px is not None and (height, width) != (size_px, size_px):
        raise FrameError(
            f"Frames must be {size_px}x{size_px} px, got {height}x{width}. Resize them, "
            "or load a checkpoint trained at that size."
        )
    if height % STRIDE or width % STRIDE:
        raise FrameError(f"Height and width must be multiples of {STRIDE}, got {height}x{width}.")
    if tensor.dtype != torch.uint8:
        if not tensor.is_floating_point():
            raise FrameError(f"Frames must be uint8 or float in [0, 1], got {tensor.dtype}.")
        if not bool(torch.isfinite(tensor).all()) or tensor.min() < -0.01 or tensor.max() > 1.01:
            raise FrameError("Float frames must be finite and in [0, 1]; divide by 255 or clip.")
    return tensor


def to_uint8(frames: Tensor) -> Tensor:
    """Float frames in [0, 1] as uint8, same shape."""
    return (frames.clamp(0, 1) * 255).round().to(torch.uint8)


class _ChannelNorm(nn.Module):
    """RMS norm over the channels of each position: (B, C, H, W) to the same shape.

    Statistics over positions would let a change in one corner move the latents of all others,
    and a world that stands still would not stand still in latent space.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW * torch.rsqrt(x_BCHW.square().mean(1, keepdim=True) + 1e-6) * self.gain


class _ResidualBlock(nn.Module):
    """Two convolutions around a skip connection."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        pad = kernel // 2
        self.norm = _ChannelNorm(channels)
        self.first = nn.Conv2d(channels, channels, kernel, padding=pad)
        self.second = nn.Conv2d(channels, channels, kernel, padding=pad)
        nn.init.zeros_(self.second.weight)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        hidden = F.silu(self.first(self.norm(x_BCHW)))
        return x_BCHW + self.second(hidden)


class VideoTokenizer(ModelMixin, ConfigMixin):
    """Patch encoder, convolutional decoder, RMS-normalised latents at an eighth of the size.

    Args:
        latent_channels: C, numbers in each latent token.
        width: decoder channels at a quarter of the resolution; twice as many at an eighth,
            four times as many in the encoder.
        depth: residual blocks at an eighth of the resolution; the encoder has one more.
        noise: standard deviation added to latents in training, so that the decoder forgives
            a dynamics model's small errors.
        fsq_levels: levels for each channel of the discrete exit.
        fsq_groups: codes for each token of the discrete exit.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 24,
        width: int = 48,
        depth: int = 1,
        noise: float = 0.05,
        fsq_levels: int = 7,
        fsq_groups: int = 6,
    ) -> None:
        super().__init__()
        deep = 2 * width
        wide = 4 * width
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(STRIDE),
            nn.Conv2d(3 * STRIDE**2, wide, 1),
            *(_ResidualBlock(wide, 1) for _ in range(depth + 1)),
            _ChannelNorm(wide),
            nn.Conv2d(wide, latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, deep, 3, padding=1),
            *(_ResidualBlock(deep, 3) for _ in range(depth)),
            nn.Conv2d(deep, wide, 1),
            nn.PixelShuffle(2),
            _ResidualBlock(width, 3),
            _ChannelNorm(width),
            nn.Conv2d(width, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )
        self.to(memory_format=torch.channels_last)

    def tokens(self, height_px: int, width_px: int) -> int:
        """N, latent tokens of a frame of this size."""
        return (height_px // STRIDE) * (width_px // STRIDE)

    def encode(self, frames: Tensor | NDArray[Any]) -> Tensor:
        """Frames to latents.

        Args:
            frames: (B, T, H, W, 3), uint8 or float in [0, 1].

        Returns:
            latents: float (B, T, N, C), each token of unit RMS.

        Raises:
            FrameError: malformed frames.
        """
        tensor = frames_tensor(frames)
        if tensor.ndim != 5:
            raise FrameError(f"Expected (B, T, H, W, 3), got {tuple(tensor.shape)}.")
        tensor = tensor.to(self.device)
        pixels = tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor.float()
        x_BCHW = (pixels.flatten(0, 1).permute(0, 3, 1, 2) * 2 - 1).to(self.dtype)
        grid = self.encoder(x_BCHW.contiguous(memory_format=torch.channels_last))
        # Float whatever the encoder runs in: rollouts add small changes to them.
        latents = grid.flatten(2).transpose(1, 2).float()
        latents = latents * torch.rsqrt(latents.square().mean(-1, keepdim=True) + 1e-6)
        return latents.unflatten(0, tensor.shape[:2])

    def decode(self, latents: Tensor, height_px: int | None = None) -> Tensor:
        """Latents to frames.

        Args:
            latents: (B, T, N, C).
            height_px: rows of the frame; the square root of N decides when not given.

        Returns:
            frames: float (B, T, H, W, 3) in [0, 1].
        """
        tokens = latents.shape[2]
        rows = height_px // STRIDE if height_px else int(tokens**0.5)
        if rows * (tokens // rows) != tokens:
            raise FrameError(f"{tokens} tokens do not fill {rows} rows; pass height_px.")
        return self._pixels(latents, rows).clamp(0, 1)

    def quantize(self, latents: Tensor) -> Tensor:
        """Latents (B, T, N, C) to integer codes int64 (B, T, N, groups)."""
        return fsq.quantize(latents, self.config.fsq_levels, self.config.fsq_groups)

    def dequantize(self, ids: Tensor) -> Tensor:
        """Integer codes (B, T, N, groups) to latents (B, T, N, C) that `decode` accepts."""
        return fsq.dequantize(ids, self.config.fsq_levels, self.config.latent_channels)

    def decode_disturbed(self, latents: Tensor, height_px: int) -> Tensor:
        """Decode latents (B, T, N, C) disturbed as in training: float (B, T, H, W, 3), unclamped.

        One sample in eight passes through the discrete exit, the others get Gaussian noise.
        """
        rounded = fsq.quantize_through(latents, self.config.fsq_levels)
        noisy = latents + self.config.noise * torch.randn_like(latents)
        discrete = torch.rand(latents.shape[0], 1, 1, 1, device=latents.device) < 0.125
        return self._pixels(torch.where(discrete, rounded, noisy), height_px // STRIDE)

    def _pixels(self, latents: Tensor, rows: int) -> Tensor:
        """The decoder's output for latents (B, T, N, C): (B, T, H, W, 3), not clamped."""
        grid = latents.flatten(0, 1).transpose(1, 2).unflatten(2, (rows, -1))
        grid = grid.contiguous(memory_format=torch.channels_last)
        pixels = (self.decoder(grid) + 1) / 2
        return pixels.permute(0, 2, 3, 1).unflatten(0, latents.shape[:2])
