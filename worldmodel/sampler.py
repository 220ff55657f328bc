"""From the last frame to the next: a few Euler steps of the flow, driven by a diffusers scheduler.

The scheduler's sigma runs from 1 (the source) to 0 (the next frame). Its velocity at a candidate
z is (z - x) / sigma, where x is the end point that the dynamics predicts.
"""

from __future__ import annotations

from typing import Literal

import torch
from diffusers import FlowMapEulerDiscreteScheduler
from torch import Tensor

from worldmodel.dynamics import Dynamics, Memory, Prediction

__all__ = ["Source", "next_frame"]

Source = Literal["last", "noise"]


def next_frame(
    dynamics: Dynamics,
    memory: Memory,
    action: Tensor,
    scheduler: FlowMapEulerDiscreteScheduler,
    steps: int = 1,
    source: Source = "last",
    noise: Tensor | None = None,
    start: Tensor | None = None,
) -> Prediction:
    """Sample the next frame's latents.

    The layers' memory is frozen while the steps are taken; the last step's entries are the ones
    to keep, which saves a pass that would only write them. Gradients flow through the last step.

    Args:
        dynamics: the model.
        memory: of the rollout so far.
        action: (B, A) in [-1, 1].
        scheduler: turns end points into steps; its timesteps are set here.
        steps: evaluations of the network.
        source: where the flow starts: at the last frame, or at Gaussian noise.
        noise: label of the noise in the memory's latents (B,).
        start: the point of the noise source to start at (B, N, C); drawn when not given.

    Returns:
        The last evaluation, whose `latents` are the next frame.
    """
    if steps == 1 and source == "last":
        return dynamics.predict(memory, action, noise=noise)
    scheduler.set_timesteps(steps, device=memory.latents.device)
    candidate = memory.latents
    if source == "noise":
        candidate = torch.randn_like(candidate) if start is None else start
    ones = candidate.new_ones(len(candidate))
    span = ones / steps
    prediction = None
    for number, timestep in enumerate(scheduler.timesteps):
        level = ones * float(scheduler.sigmas[number])
        with torch.set_grad_enabled(torch.is_grad_enabled() and number == steps - 1):
            prediction = dynamics.predict(memory, action, candidate, level, span, noise)
        velocity = (candidate - prediction.latents) / level[:, None, None]
        stepped = scheduler.step(velocity, timestep, candidate, return_dict=False)[0]
        candidate = stepped.to(candidate.dtype)
    assert prediction is not None
    return prediction
