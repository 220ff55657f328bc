"""Attention over the active tokens of a frame, those of the frames before it, and the first frame.

Pre-RMSNorm, grouped queries, QK-norm, SwiGLU. Positions enter as rotations: row and column for
a frame's own tokens, and age in frames as well where the past is read. Keys are cached before
rotation, so the window rolls for ever without being recomputed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Anchor", "Block", "FrameMemory", "Layout", "Rotation", "attend", "rotate"]


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


class Anchor(NamedTuple):
    """What a layer keeps for ever of the frame a rollout began with.

    Attributes:
        keys: (B, N, heads, D), rotated.
        values: (B, N, heads, D).
    """

    keys: Tensor
    values: Tensor


class Rotation(NamedTuple):
    """Cosine and sine of the angles by which T tokens are rotated, each (B, T, 1, D/2)."""

    cos: Tensor
    sin: Tensor

    @classmethod
    def of(cls, angles_BTd: Tensor) -> Rotation:
        """The rotation by angles (B, T, D/2)."""
        wide = angles_BTd.unsqueeze(2)
        return cls(wide.cos(), wide.sin())


class Layout(NamedTuple):
    """Where the tokens in hand and those in memory lie.

    Attributes:
        own: rotations of this frame's tokens, K of them.
        past: rotations of the remembered tokens, context * K of them.
        bias: 0 where a key exists, -inf where not (B, 1, 1, N + context * K + K).
    """

    own: Rotation
    past: Rotation
    bias: Tensor


def rotate(x_BTHD: Tensor, rotation: Rotation) -> Tensor:
    """Rotate pairs of channels of T tokens (B, T, H, D)."""
    first, second = x_BTHD.chunk(2, -1)
    cos, sin = rotation
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


def attend(q_BKHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, bias: Tensor | None) -> Tensor:
    """Attention of K queries to T keys, several query heads sharing each key head.

    Plain products: on a CPU the fused kernel's backward pass in bfloat16 costs more than all the
    rest of the layer.

    Args:
        q_BKHD: queries.
        k_BTGD: keys, G a divisor of H.
        v_BTGD: values.
        bias: added to the scores (B, 1, 1, T), or None.

    Returns:
        (B, K, H, D).
    """
    batch, count, heads, size = q_BKHD.shape
    groups = k_BTGD.shape[2]
    q = q_BKHD.unflatten(2, (groups, -1)).permute(0, 2, 3, 1, 4).reshape(batch, groups, -1, size)
    scores = (q @ k_BTGD.permute(0, 2, 3, 1)).float() * size**-0.5
    weights = (scores if bias is None else scores + bias).softmax(-1)
    mixed = (weights @ v_BTGD.transpose(1, 2)).unflatten(2, (-1, count))
    return mixed.permute(0, 3, 1, 2, 4).reshape(batch, count, heads, size)


class Block(nn.Module):
    """One transformer layer; `temporal` ones also read the frames before.

    Args:
        width: model width.
        heads: query heads.
        kv_heads: key and value heads, a divisor of `heads`.
        temporal: whether the layer reads and writes memory, and reads the first frame.
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
        if temporal:
            self.anchor_kv = nn.Linear(width, 2 * kv_heads * self.head_dim, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm_mlp = nn.RMSNorm(width)
        self.up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)

    def anchor(self, first: Tensor, rotation: Rotation) -> Anchor:
        """What a temporal layer keeps of the first frame's tokens (B, N, W)."""
        k, v = self.anchor_kv(first).float().unflatten(-1, (2 * self.kv_heads, -1)).chunk(2, 2)
        return Anchor(rotate(self.norm_k(k), rotation), v)

    def forward(
        self,
        x: Tensor,
        condition: Tensor,
        layout: Layout,
        memory: FrameMemory | None,
        anchor: Anchor | None,
    ) -> tuple[Tensor, FrameMemory | None]:
        """One layer.

        Args:
            x: tokens (B, K, W).
            condition: action and signal level (B, W), added before attention.
            layout: positions.
            memory: of a temporal layer; None otherwise.
            anchor: of a temporal layer; None otherwise.

        Returns:
            Tokens (B, K, W) and the memory with this frame pushed.
        """
        batch, count, width = x.shape
        hidden = self.norm_attention(x) + self.condition(condition)[:, None]
        # Norms, rotations and the softmax stay in float32 under autocast.
        parts = self.qkv(hidden).float().unflatten(-1, (-1, self.head_dim))
        q, k, v = parts.split([self.heads, self.kv_heads, self.kv_heads], 2)
        q, k = self.norm_q(q), self.norm_k(k)
        keys, values, bias = rotate(k, layout.own), v, None
        if memory is not None and anchor is not None:
            past = rotate(memory.keys.flatten(1, 2), layout.past)
            keys = torch.cat([anchor.keys, past, keys], 1)
            values = torch.cat([anchor.values, memory.values.flatten(1, 2), v], 1)
            bias = layout.bias
            memory = memory.push(k, v)
        mixed = attend(rotate(q, layout.own), keys, values, bias)
        x = x + self.out(mixed.reshape(batch, count, width))
        gate, value = self.up(self.norm_mlp(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * value), memory
