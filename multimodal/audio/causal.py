"""Causal layers over sequences that give the same result in one piece and in chunks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CausalBlock", "CausalLinear", "Memory", "past_joined"]


class Memory:
    """What causal layers have to remember of the past between two chunks of a stream."""

    def __init__(self) -> None:
        self._past: dict[nn.Module, Tensor] = {}

    def join(self, layer: nn.Module, x_BTC: Tensor, frames: int) -> Tensor:
        """Put the layer's last `frames` inputs before `x_BTC`: (B, frames + T, C).

        Before the first chunk the past is zero, as in `forward` without a memory.
        """
        past = self._past.get(layer)
        if past is None:
            past = x_BTC.new_zeros(x_BTC.shape[0], frames, x_BTC.shape[2])
        joined = torch.cat([past, x_BTC], 1)
        self._past[layer] = joined[:, joined.shape[1] - frames :].detach()
        return joined


def past_joined(layer: nn.Module, x_BTC: Tensor, frames: int, memory: Memory | None) -> Tensor:
    """`x_BTC` with `frames` frames of its past before it: remembered, or zero without a memory."""
    if memory is not None:
        return memory.join(layer, x_BTC, frames)
    return F.pad(x_BTC, (0, 0, frames, 0))


class CausalLinear(nn.Module):
    """A dense convolution over the present frame and the `past` ones before it.

    Args:
        inputs: channels in.
        outputs: channels out.
        past: frames before the present one that are seen.
    """

    def __init__(self, inputs: int, outputs: int, past: int) -> None:
        super().__init__()
        self.past = past
        self.linear = nn.Linear(inputs * (past + 1), outputs)

    def forward(self, x_BTC: Tensor, memory: Memory | None = None) -> Tensor:
        """(B, T, inputs) to (B, T, outputs)."""
        joined = past_joined(self, x_BTC, self.past, memory)
        frames = x_BTC.shape[1]
        return self.linear(
            torch.cat([joined[:, start : start + frames] for start in range(self.past + 1)], -1)
        )


class CausalBlock(nn.Module):
    """A residual block after ConvNeXt: a convolution in time for each channel, then an MLP.

    Source: Liu et al., "A ConvNet for the 2020s" (2022), in one dimension as in Vocos (2023).

    Args:
        channels: C.
        kernel: frames the convolution sees, the present one included.
        expansion: hidden channels of the MLP over C.
    """

    def __init__(self, channels: int, kernel: int = 7, expansion: int = 3) -> None:
        super().__init__()
        self.kernel = kernel
        self.time = nn.Conv2d(channels, channels, (1, kernel), groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6, bias=False)
        self.widen = nn.Linear(channels, expansion * channels)
        self.narrow = nn.Linear(expansion * channels, channels)
        # A network of many blocks starts as the identity.
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x_BTC: Tensor, memory: Memory | None = None) -> Tensor:
        """(B, T, C) to the same shape."""
        joined = past_joined(self, x_BTC, self.kernel - 1, memory)
        # (B, T, C) seen as an image of one row in channels-last order, for which convolutions of
        # one channel each are five times faster on a CPU; in bfloat16 they are not.
        with torch.autocast(x_BTC.device.type, enabled=False):
            image = joined.to(self.time.weight.dtype).transpose(1, 2).unsqueeze(2)
            mixed = self.norm(self.time(image).squeeze(2).transpose(1, 2))
        return x_BTC + self.narrow(F.gelu(self.widen(mixed)))
