"""Attention over the active tokens of a frame, and over those of the frames before it.

Pre-RMSNorm, grouped queries, QK-norm, SwiGLU. Positions enter as rotations: row and column for
a frame's own tokens, and age in frames as well where the past is read. Keys are cached before
rotation, so the window rolls for ever without being recomputed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Block", "FrameMemory", "Layout", "rotate"]


class FrameMemory(NamedTuple):
    """What a layer keeps of the last frames; a value, replaced and never written in place.

    Attributes:
        keys: (B, context, K, heads, D), before rotation.
        values: (B, context, K, heads, D).
    """

    keys: Tensor
    values: Tensor

    def push(self, keys: Tensor, values: Tensor) -> FrameMemory:
        """Forget the oldest frame and append the newest, each (B, K, heads, D)."""
        return FrameMemory(
            torch.cat([self.keys[:, 1:], keys[:, None]], 1),
            torch.cat([self.values[:, 1:], values[:, None]], 1),
        )


class Layout(NamedTuple):
    """Where the tokens in hand and those in memory lie.

    Attributes:
        own: rotation angles of this frame's tokens (B, K, D/2).
        past: rotation angles of the remembered tokens (B, context * K, D/2).
        past_bias: 0 where a remembered frame exists, -inf where not (B, 1, 1, context * K).
    """

    own: Tensor
    past: Tensor
    past_bias: Tensor


def rotate(x_BTHD: Tensor, angles_BTd: Tensor) -> Tensor:
    """Rotate pairs of channels: (B, T, H, D) by angles (B, T, D/2)."""
    first, second = x_BTHD.chunk(2, -1)
    cos, sin = angles_BTd.cos().unsqueeze(2), angles_BTd.sin().unsqueeze(2)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


class Block(nn.Module):
    """One transformer layer; `temporal` ones also read the frames before.

    Args:
        width: model width.
        heads: query heads.
        kv_heads: key and value heads, a divisor of `heads`.
        temporal: whether the layer reads and writes memory.
    """

    def __init__(self, width: int, heads: int, kv_heads: int, temporal: bool) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.temporal = heads, kv_heads, temporal
        self.head_dim = width // heads
        hidden = 2 * width
        self.norm_attention = nn.RMSNorm(width)
        self.condition = nn.Linear(width, width, bias=False)
        self.qkv = nn.Linear(width, (heads + 2 * kv_heads) * self.head_dim, bias=False)
        self.norm_q = nn.RMSNorm(self.head_dim)
        self.norm_k = nn.RMSNorm(self.head_dim)
        self.out = nn.Linear(width, width, bias=False)
        self.norm_mlp = nn.RMSNorm(width)
        self.up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)

    def forward(
        self, x: Tensor, condition: Tensor, layout: Layout, memory: FrameMemory | None
    ) -> tuple[Tensor, FrameMemory | None]:
        """One layer.

        Args:
            x: tokens (B, K, W).
            condition: action and signal level (B, W), added before attention.
            layout: positions.
            memory: of a temporal layer; None otherwise.

        Returns:
            Tokens (B, K, W) and the memory with this frame pushed.
        """
        batch, count, width = x.shape
        hidden = self.norm_attention(x) + self.condition(condition)[:, None]
        sizes = [self.heads * self.head_dim] + [self.kv_heads * self.head_dim] * 2
        q, k, v = self.qkv(hidden).split(sizes, -1)
        q = self.norm_q(q.view(batch, count, self.heads, self.head_dim))
        k = self.norm_k(k.view(batch, count, self.kv_heads, self.head_dim))
        v = v.view(batch, count, self.kv_heads, self.head_dim)
        keys, values, bias = rotate(k, layout.own), v, None
        if memory is not None:
            keys = torch.cat([rotate(memory.keys.flatten(1, 2), layout.past), keys], 1)
            values = torch.cat([memory.values.flatten(1, 2), v], 1)
            bias = F.pad(layout.past_bias, (0, count))
            memory = memory.push(k, v)
        mixed = F.scaled_dot_product_attention(
            rotate(q, layout.own).transpose(1, 2),
            keys.transpose(1, 2),
            values.transpose(1, 2),
            attn_mask=bias,
            enable_gqa=self.heads != self.kv_heads,
        )
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, count, width))
        gate, value = self.up(self.norm_mlp(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * value), memory
