"""Diffusion forcing with shortcut self-consistency: a random noise level for every frame.

Sources: Chen et al., "Diffusion Forcing" (2024); Frans et al., "One Step Diffusion via Shortcut
Models" (2024); the x-prediction form and its weights follow Dreamer 4 (2025).
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldmodel.dynamics import Dynamics, Memory, Prediction
from worldmodel.sampler import Source

__all__ = ["shortcut_step"]

FINEST = 8
BOOTSTRAP_SHARE = 0.25


def _half_steps(
    teacher: Dynamics,
    memory: Memory,
    action: Tensor,
    candidate: Tensor,
    level: Tensor,
    span: Tensor,
    noise: Tensor,
) -> Tensor:
    """The end point that two half jumps of the teacher imply (B, N, C)."""
    half = span / 2
    wide = (slice(None), None, None)
    first = teacher.predict(memory, action, candidate, level, half, noise).latents
    middle = candidate - (half / level)[wide] * (candidate - first)
    rest = (level - half).clamp(min=1e-3)
    second = teacher.predict(memory, action, middle, rest, half, noise).latents
    end = middle - (half / rest)[wide] * (middle - second)
    return candidate - (level / span)[wide] * (candidate - end)


def shortcut_step(
    dynamics: Dynamics,
    teacher: Dynamics,
    memory: Memory,
    action: Tensor,
    true: Tensor,
    source: Source,
    noise: Tensor,
) -> tuple[Prediction, Tensor, Tensor]:
    """Predict a frame from a random level of its flow.

    Args:
        dynamics: the model in training.
        teacher: its averaged weights.
        memory: of the clip so far.
        action: (B, A).
        true: the next frame (B, N, C).
        source: where the flow starts.
        noise: label of the noise in the memory (B,).

    Returns:
        The prediction, its target (B, N, C) and the weight of each clip (B,).
    """
    batch, device = len(true), true.device
    power = torch.randint(0, FINEST.bit_length(), (batch,), device=device)
    bootstrap = (torch.rand(batch, device=device) < BOOTSTRAP_SHARE) & (power > 0)
    span = torch.where(bootstrap, 2.0**power / FINEST, 1.0 / FINEST)
    level = (torch.rand(batch, device=device) / span).floor().add(1).mul(span).clamp(max=1.0)
    start = torch.randn_like(true) if source == "noise" else memory.latents.detach()
    candidate = level[:, None, None] * start + (1 - level)[:, None, None] * true
    prediction = dynamics.predict(memory, action, candidate, level, span, noise)
    with torch.no_grad():
        implied = _half_steps(teacher, memory, action, candidate, level, span, noise)
    target = torch.where(bootstrap[:, None, None], implied, true)
    ramp = 0.9 * (1 - level) + 0.1
    return prediction, target, torch.where(bootstrap, level.square(), ramp)
