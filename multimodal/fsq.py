"""Finite scalar quantisation in groups: integers for models that want discrete tokens.

Source: Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple" (2023); groups as in
UniTok, where one large codebook is too small to both see and generate.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["dequantize", "digits_of_codes", "quantize", "quantize_through"]

_REACH = 2.5


def _steps(latents: Tensor, levels: int) -> Tensor:
    """Each value as a level number 0..levels-1, still float: same shape as `latents`."""
    unit = (latents / _REACH).clamp(-1, 1)
    return ((unit + 1) / 2 * (levels - 1)).round()


def quantize(latents: Tensor, levels: int, groups: int) -> Tensor:
    """Integers for latents.

    Args:
        latents: (..., C) of about unit variance; C divisible by `groups`.
        levels: levels for each channel.
        groups: codes for each token.

    Returns:
        int64 (..., groups), each in [0, levels ** (C / groups)).
    """
    digits = _steps(latents, levels).long().unflatten(-1, (groups, -1))
    place = levels ** torch.arange(digits.shape[-1], device=latents.device)
    return (digits * place).sum(-1)


def dequantize(ids: Tensor, levels: int, channels: int) -> Tensor:
    """Latents for integers: the middle of each cell.

    Args:
        ids: int64 (..., groups).
        levels: levels for each channel.
        channels: C.

    Returns:
        float32 (..., C).
    """
    groups = ids.shape[-1]
    place = levels ** torch.arange(channels // groups, device=ids.device)
    digits = (ids.unsqueeze(-1) // place) % levels
    unit = digits.float() / (levels - 1) * 2 - 1
    return (unit * _REACH).flatten(-2)


def digits_of_codes(levels: int, digits: int) -> Tensor:
    """The digits of every code, one-hot: float32 (levels ** digits, digits · levels)."""
    place = levels ** torch.arange(digits)
    each = (torch.arange(levels**digits)[:, None] // place) % levels
    return F.one_hot(each, levels).flatten(1).float()


def quantize_through(latents: Tensor, levels: int) -> Tensor:
    """Quantised latents whose gradient passes straight through: same shape as `latents`."""
    unit = _steps(latents, levels) / (levels - 1) * 2 - 1
    return latents + (unit * _REACH - latents).detach()
