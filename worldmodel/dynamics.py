"""The dynamics: next latents from the last ones, an action, and a memory of recent frames.

A block-causal space-time transformer that thinks only where something can change. A small
gate looks at each token's neighbourhood and the action and says how likely the token is to
change; the `active_tokens` likeliest pass through the transformer, the others are copied
exactly. So the untouched part of the world keeps still by construction, and a step costs a
fraction of a full pass.

The next frame is the end of a flow that starts at the last frame, not at noise: at signal
level sigma the candidate lies between the two, and the network predicts the end point
(x-prediction). One evaluation is a plain next-frame prediction; more refine it.
Sources: shortcut models (Frans et al. 2024) and Dreamer 4 (2025) for the conditioning on level
and step; stochastic interpolants (Albergo et al. 2023) for a flow between two data points.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from worldmodel.attention import Anchor, Block, FrameMemory, Layout, Rotation
from worldmodel.heads import OutcomeHead

__all__ = ["Dynamics", "Memory", "Prediction"]


class Memory(NamedTuple):
    """What the model remembers of a rollout; a value of constant size.

    Attributes:
        latents: the last frame (B, N, C).
        change: the last frame minus the one before (B, N, C).
        first: the frame the rollout began with (B, N, C).
        places: which tokens the remembered frames' entries are, int64 (B, context, K).
        filled: how many frames are remembered, int64 (B,), at most `context`.
        layers: one FrameMemory for each temporal layer.
        anchors: one Anchor for each temporal layer, of the first frame.
    """

    latents: Tensor
    change: Tensor
    first: Tensor
    places: Tensor
    filled: Tensor
    layers: tuple[FrameMemory, ...]
    anchors: tuple[Anchor, ...]

    @classmethod
    def bare(cls, latents: Tensor) -> Memory:
        """The present frame alone, where something else than the dynamics knows the past."""
        batch = len(latents)
        none = torch.zeros(batch, 0, 0, dtype=torch.long, device=latents.device)
        still = latents.new_zeros(batch, 0, 0)
        return cls(latents, still, still, none, none.new_zeros(batch), (), ())

    def detach(self) -> Memory:
        """The same values without their gradient history."""
        return Memory(
            self.latents.detach(),
            self.change.detach(),
            self.first,
            self.places,
            self.filled,
            tuple(FrameMemory(k.detach(), v.detach()) for k, v in self.layers),
            tuple(Anchor(k.detach(), v.detach()) for k, v in self.anchors),
        )


class Prediction(NamedTuple):
    """One evaluation of the network.

    Attributes:
        latents: the predicted end of the flow (B, N, C).
        gate: logit that each token changes (B, N).
        chosen: which tokens passed through the transformer, int64 (B, K).
        layers: memory entries with this frame pushed.
    """

    latents: Tensor
    gate: Tensor
    chosen: Tensor
    layers: tuple[FrameMemory, ...]


def _neighbours(rows: int, columns: int) -> Tensor:
    """For each place of a grid the places around and at it, int64 (N, 9); N is beyond the edge."""
    places = F.pad(torch.arange(rows * columns).view(rows, columns), (1, 1, 1, 1), value=-1)
    windows = places.unfold(0, 3, 1).unfold(1, 3, 1).reshape(rows * columns, 9)
    return torch.where(windows < 0, rows * columns, windows)


def unit_rms(latents: Tensor) -> Tensor:
    """Latents scaled to unit RMS for each token, as the tokeniser makes them."""
    return latents * torch.rsqrt(latents.square().mean(-1, keepdim=True) + 1e-6)


class Dynamics(ModelMixin, ConfigMixin):
    """Predicts the next frame's latents, and the outcome of being there.

    Args:
        action_dim: A.
        goal_dim: G, length of the goal vector the outcome head is told; 0 for none.
        rows: rows of the latent grid; N = rows * columns.
        columns: columns of the latent grid.
        channels: C of the latents.
        width: model width.
        heads: query heads.
        kv_heads: key and value heads.
        layers: transformer layers.
        temporal_every: every n-th layer reads the past.
        context: frames remembered.
        active_tokens: tokens that pass through the transformer; at most N.
        still_below: tokens less likely to change than this are copied even when active.
    """

    @register_to_config
    def __init__(
        self,
        action_dim: int,
        goal_dim: int = 0,
        rows: int = 8,
        columns: int = 8,
        channels: int = 24,
        width: int = 192,
        heads: int = 6,
        kv_heads: int = 2,
        layers: int = 4,
        temporal_every: int = 2,
        context: int = 8,
        active_tokens: int = 16,
        still_below: float = 0.02,
    ) -> None:
        super().__init__()
        self.active = min(active_tokens, rows * columns)
        self.gate_in = nn.Conv2d(2 * channels, 48, 3, padding=1)
        self.gate_action = nn.Linear(action_dim, 48)
        self.gate_out = nn.Conv2d(48, 1, 3, padding=1)
        self.stem = nn.Linear(9 * 3 * channels, width)
        self.anchor_stem = nn.Linear(9 * channels, width)
        self.anchor_norm = nn.RMSNorm(width)
        self.position = nn.Parameter(torch.randn(rows * columns, width) * 0.02)
        self.action = nn.Sequential(
            nn.Linear(action_dim, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.signal = nn.Sequential(nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(
            Block(width, heads, kv_heads, (index + 1) % temporal_every == 0)
            for index in range(layers)
        )
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, channels)
        self.outcome = OutcomeHead(channels, rows * columns, goal_dim)
        # What an object uncovers looks as it did in the first frame, to the last digit.
        self.recall = nn.Linear(width, 1)
        nn.init.zeros_(self.recall.weight)
        nn.init.constant_(self.recall.bias, -4.0)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        # A still start: about one token in ten changes.
        nn.init.constant_(self.gate_out.get_parameter("bias"), -2.0)
        around = _neighbours(rows, columns)
        self.register_buffer("neighbours_N9", around, persistent=False)

    @property
    def tokens(self) -> int:
        """N, tokens of a frame."""
        return int(self.config.rows * self.config.columns)

    def start(self, latents: Tensor, first: Tensor | None = None) -> Memory:
        """Memory of a rollout that begins at one frame.

        Args:
            latents: the frame (B, N, C).
            first: an earlier frame of the same scene to remember for ever (B, N, C), whose
                objects look as they should; the frame itself when not given.
        """
        batch, context = len(latents), self.config.context
        head_dim = self.config.width // self.config.heads
        shape = (batch, context, self.active, self.config.kv_heads, head_dim)
        blank = latents.new_zeros(shape)
        temporal = sum(bool(block.temporal) for block in self.blocks)
        first = latents if first is None else first
        return Memory(
            latents,
            torch.zeros_like(latents),
            first,
            torch.zeros(batch, context, self.active, dtype=torch.long, device=latents.device),
            torch.zeros(batch, dtype=torch.long, device=latents.device),
            tuple(FrameMemory(blank, blank) for _ in range(temporal)),
            self._anchors(first),
        )

    def _anchors(self, first: Tensor) -> tuple[Anchor, ...]:
        """What each temporal layer keeps of the frame a rollout began with (B, N, C)."""
        places = torch.arange(self.tokens, device=first.device).expand(len(first), -1)
        age = torch.full_like(places, -(self.config.context + 1), dtype=torch.float)
        rotation = Rotation.of(self._angles(places, age))
        tokens = self.anchor_stem(self._neighbourhoods(first, places)) + self.position
        tokens = self.anchor_norm(tokens)
        blocks = [block for block in self.blocks if isinstance(block, Block) and block.temporal]
        return tuple(block.anchor(tokens, rotation) for block in blocks)

    def predict(
        self,
        memory: Memory,
        action: Tensor,
        candidate: Tensor | None = None,
        level: Tensor | None = None,
        span: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Prediction:
        """One evaluation: where does the flow from the last frame end?

        Args:
            memory: of the rollout so far.
            action: (B, A), in the model's units (-1 to 1).
            candidate: the flow's current point (B, N, C); the last frame when not given.
            level: sigma of the candidate (B,), 1 at the last frame and 0 at the next.
            span: how much of sigma this evaluation will jump (B,).
            noise: standard deviation of the noise in the memory's latents (B,), as a label.

        Returns:
            The prediction, with the frame pushed to the layers' memory.
        """
        last = memory.latents
        batch = len(last)
        one = last.new_ones(batch)
        signals = (one if level is None else level, one if span is None else span)
        signal = torch.stack([*signals, one * 0 if noise is None else noise * 5], -1)
        condition = self.action(action) + self.signal(signal)
        ahead = torch.zeros_like(last) if candidate is None else candidate - last
        gate = self._gate(last, memory.change, action)
        chosen = self._choose(gate)
        around = self._neighbourhoods(torch.cat([last, memory.change, ahead], -1), chosen)
        x = self.stem(around) + self.position[chosen]
        layout = self._layout(chosen, memory)
        kept: list[FrameMemory] = []
        past = iter(zip(memory.layers, memory.anchors, strict=True))
        for block in self.blocks:
            layer, anchor = next(past) if block.temporal else (None, None)
            x, pushed = block(x, condition, layout, layer, anchor)
            if pushed is not None:
                kept.append(pushed)
        wide = chosen.unsqueeze(-1).expand(-1, -1, last.shape[-1])
        moves = (gate.gather(1, chosen).sigmoid() > self.config.still_below).unsqueeze(-1)
        old = last.gather(1, wide)
        x = self.norm(x)
        new = old + self.head(x).float()
        recalled = memory.first.gather(1, wide)
        new = unit_rms(torch.lerp(new, recalled, self.recall(x).float().sigmoid()))
        latents = last.scatter(1, wide, torch.where(moves, new, old))
        return Prediction(latents, gate, chosen, tuple(kept))

    def advance(self, memory: Memory, latents: Tensor, prediction: Prediction) -> Memory:
        """Memory after the next frame has become `latents` (B, N, C)."""
        places = torch.cat([memory.places[:, 1:], prediction.chosen[:, None]], 1)
        filled = (memory.filled + 1).clamp(max=self.config.context)
        change = latents - memory.latents
        return Memory(
            latents, change, memory.first, places, filled, prediction.layers, memory.anchors
        )

    def _grid(self, latents: Tensor) -> Tensor:
        """Tokens (B, N, C) laid out as a grid (B, C, rows, columns)."""
        return latents.transpose(1, 2).unflatten(2, (self.config.rows, self.config.columns))

    def _neighbourhoods(self, latents_BNC: Tensor, chosen_BK: Tensor) -> Tensor:
        """Chosen tokens with their eight neighbours, zeros beyond the edge: (B, K, 9 * C)."""
        batch, count = chosen_BK.shape
        padded = F.pad(latents_BNC, (0, 0, 0, 1))
        index = self.neighbours_N9[chosen_BK].view(batch, 9 * count, 1)
        around = padded.gather(1, index.expand(-1, -1, padded.shape[-1]))
        return around.view(batch, count, -1)

    def _gate(self, last: Tensor, change: Tensor, action: Tensor) -> Tensor:
        """Logit that each token changes (B, N)."""
        grid = self._grid(torch.cat([last, change], -1))
        hidden = F.silu(self.gate_in(grid) + self.gate_action(action)[:, :, None, None])
        logits: Tensor = self.gate_out(hidden)
        return logits.flatten(1)

    def _choose(self, gate: Tensor) -> Tensor:
        """The likeliest tokens, in grid order, int64 (B, K)."""
        if self.active == gate.shape[1]:
            return torch.arange(self.active, device=gate.device).expand(len(gate), -1)
        return gate.detach().topk(self.active, 1).indices.sort(1).values

    def _angles(self, places: Tensor, age: Tensor) -> Tensor:
        """Rotation angles (..., D/2) for grid places (...) and ages in frames (...)."""
        half = self.config.width // self.config.heads // 2
        quarter = half // 4
        spatial = (half - quarter) // 2
        row = (places // self.config.columns).float()
        column = (places % self.config.columns).float()
        parts = []
        for value, count in ((row, spatial), (column, spatial), (age, half - 2 * spatial)):
            steps = torch.arange(count, device=places.device)
            parts.append(value.unsqueeze(-1) * torch.exp(-math.log(20.0) * steps / count))
        return torch.cat(parts, -1)

    def _layout(self, chosen: Tensor, memory: Memory) -> Layout:
        batch, context = len(chosen), self.config.context
        own = self._angles(chosen, torch.zeros_like(chosen, dtype=torch.float))
        age = torch.arange(-context, 0, device=chosen.device)
        ages = age.float().expand(batch, context).unsqueeze(-1)
        past = self._angles(memory.places, ages.expand_as(memory.places))
        missing = (-age)[None] > memory.filled[:, None]
        bias = torch.zeros(batch, context, device=chosen.device)
        bias = bias.masked_fill(missing, -torch.inf).repeat_interleave(self.active, 1)
        bias = F.pad(bias, (self.tokens, self.active))
        return Layout(Rotation.of(own), Rotation.of(past.flatten(1, 2)), bias[:, None, None])
