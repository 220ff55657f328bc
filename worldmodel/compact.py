"""A world in one small vector: tokeniser and dynamics for scenes that a few numbers describe.

A joint arm or a pole on a cart is seen whole from a fixed camera, and a handful of numbers says
all about it. Then a frame need not be kept as a grid of tokens: three tokens do. The first says
where everything is (the pose), the second how it moves, the third what was done last. They fit
`WorldModelPipeline` as the larger models do, and cost a hundredth of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from numpy.typing import NDArray
from torch import Tensor, nn

from multimodal.errors import ConfigError
from multimodal.tokenizer import STRIDE, VideoTokenizer
from worldmodel.dynamics import Memory, Prediction
from worldmodel.heads import symexp, symlog, two_hot
from worldmodel.keypoints import Keypoints

__all__ = ["DEED", "MOTION", "POSE", "TOKENS", "CompactDynamics", "CompactTokenizer"]

TOKENS: Final = 3
"""Tokens of a frame."""
POSE, MOTION, DEED = range(TOKENS)


def _mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers with SiLU between them and a norm after the first."""
    layers: list[nn.Module] = []
    for index, (now, after) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(now, after))
        if index < len(sizes) - 2:
            layers += [*([nn.RMSNorm(after)] if index == 0 else []), nn.SiLU()]
    return nn.Sequential(*layers)


class CompactTokenizer(ModelMixin, ConfigMixin):
    """Frames to poses and back, through the tokens of a video tokeniser.

    A frame alone shows no motion, so the tokens of motion and deed are zero: at rest, nothing done.

    Args:
        trunk_config: arguments of the `VideoTokenizer` whose tokens it reads and draws.
        rows: rows of that grid.
        columns: columns of it.
        latent_channels: E, numbers in a token.
        points: how many places of the picture the eye looks for.
        hidden: channels of the networks.
    """

    @register_to_config
    def __init__(
        self,
        trunk_config: Mapping[str, Any],
        rows: int = 8,
        columns: int = 8,
        latent_channels: int = 32,
        points: int = 12,
        hidden: int = 256,
    ) -> None:
        super().__init__()
        self.trunk = VideoTokenizer(**trunk_config)
        channels, count = self.trunk.config.latent_channels, rows * columns
        self.finder = Keypoints(channels, rows, columns, points=points)
        self.eye = _mlp((self.finder.size, hidden // 2, latent_channels))
        self.hand = _mlp((latent_channels, hidden, hidden, count * channels))

    @property
    def encoder(self) -> nn.Module:
        """What decides the latents; see `multimodal.trunk.trunk_fingerprint`."""
        own = nn.Module()
        own.trunk, own.finder, own.eye = self.trunk.encoder, self.finder, self.eye
        return own

    def tokens(self, height_px: int, width_px: int) -> int:
        """Three, whatever the size."""
        return TOKENS

    def pose(self, seen: Tensor) -> Tensor:
        """Pose (B, E) of trunk tokens (B, N, C)."""
        pose: Tensor = self.eye(self.finder(seen))
        return pose

    def drawn(self, pose: Tensor) -> Tensor:
        """Trunk tokens (B, N, C) of a pose (B, E)."""
        tokens: Tensor = self.hand(pose).unflatten(
            1, (int(self.config.rows * self.config.columns), -1)
        )
        return tokens

    def encode(self, frames: Tensor | NDArray[Any]) -> Tensor:
        """Frames (B, T, H, W, 3) to latents (B, T, 3, E).

        Raises:
            FrameError: malformed frames.
        """
        seen = self.trunk.encode(frames)
        pose = self.pose(seen.flatten(0, 1).float()).unflatten(0, seen.shape[:2])
        still = torch.zeros_like(pose)
        return torch.stack([pose, still, still], 2)

    def decode(self, latents: Tensor, height_px: int | None = None) -> Tensor:
        """Latents (B, T, 3, E) to frames float (B, T, H, W, 3) in [0, 1]; motion does not show."""
        tokens = self.drawn(latents[:, :, POSE].flatten(0, 1)).unflatten(0, latents.shape[:2])
        return self.trunk.decode(tokens, height_px or STRIDE * int(self.config.rows))


class CompactOutcome(nn.Module):
    """Reward and termination of having come to a frame; reward as a two-hot over symexp bins.

    Args:
        channels: E.
        hidden: channels inside.
        reward_low: least reward that was recorded.
        reward_high: greatest.
        bins: how many.
    """

    bins: Tensor

    def __init__(
        self, channels: int, hidden: int, reward_low: float, reward_high: float, bins: int = 41
    ) -> None:
        super().__init__()
        self.body = _mlp((TOKENS * channels, hidden, hidden, bins + 1))
        low, high = (float(symlog(torch.tensor(x))) for x in (reward_low, reward_high))
        margin = 0.1 * max(high - low, 0.1)
        self.register_buffer("bins", torch.linspace(low - margin, high + margin, bins))

    def forward(self, latents: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Reward logits (B, bins) and termination logits (B,) of latents (B, 3, E)."""
        out = self.body(latents.flatten(1))
        return out[:, 1:].float(), out[:, 0].float()

    def expect(self, reward_logits: Tensor) -> Tensor:
        """Expected reward (B,) of reward logits (B, bins)."""
        return (reward_logits.softmax(-1) * symexp(self.bins)).sum(-1)

    def losses(
        self, logits: tuple[Tensor, Tensor], reward: Tensor, ended: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropies of reward and of termination, each (B,)."""
        weights = two_hot(symlog(reward), self.bins)
        reward_loss = -(weights * logits[0].log_softmax(-1)).sum(-1)
        end_loss = F.binary_cross_entropy_with_logits(
            logits[1], ended.to(logits[1].dtype), reduction="none"
        )
        return reward_loss, end_loss


class _Step(NamedTuple):
    pose: Tensor
    motion: Tensor
    doubt: Tensor


class CompactDynamics(ModelMixin, ConfigMixin):
    """The next pose and motion, by several networks that were drawn differently; they average.

    Motion is the change of the pose, and the networks say how it changes, as forces do. Where a
    frame is seen, pose and motion are corrected towards it by gains that depend on how many were
    seen before: a Kalman filter's, learned. A foreseen frame corrects nothing.

    Args:
        action_dim: A, less than `channels`.
        goal_dim: 0; these worlds know no goals.
        channels: E, numbers in a token.
        hidden: channels of each network.
        members: how many networks; how far they are apart is the model's doubt.
        context: frames for which gains differ.
        state_dim: numbers of the recorded state that can be read off; 0 for none.
        reward_low: least reward that was recorded.
        reward_high: greatest.
        rows: 3, the tokens.
        columns: 1.

    Raises:
        ConfigError: more actions than a token can hold.
    """

    @register_to_config
    def __init__(
        self,
        action_dim: int,
        goal_dim: int = 0,
        channels: int = 32,
        hidden: int = 192,
        members: int = 3,
        context: int = 8,
        state_dim: int = 0,
        reward_low: float = -1.0,
        reward_high: float = 1.0,
        rows: int = TOKENS,
        columns: int = 1,
    ) -> None:
        super().__init__()
        if action_dim >= channels:
            raise ConfigError(
                f"{action_dim} numbers of an action do not fit into a token of {channels}; "
                f"train with channels={action_dim + 8} or more."
            )
        nets = [
            _mlp((2 * channels + action_dim, hidden, hidden, hidden, 2 * channels))
            for _ in range(members)
        ]
        for net in nets:
            last = net[-1]
            nn.init.normal_(last.get_parameter("weight"), std=0.002)
            nn.init.zeros_(last.get_parameter("bias"))
        self.nets = nn.ModuleList(nets)
        self.pose_gain = nn.Parameter(torch.full((context, channels), 1.0))
        self.motion_gain = nn.Parameter(torch.full((context, channels), 0.5))
        self.readout = _mlp((2 * channels, hidden, state_dim)) if state_dim else None
        self.register_buffer("state_mean", torch.zeros(state_dim))
        self.register_buffer("state_scale", torch.ones(state_dim))
        self.outcome = CompactOutcome(channels, hidden, reward_low, reward_high)

    def start(self, latents: Tensor, first: Tensor | None = None) -> Memory:
        """Memory of a rollout that begins at one frame (B, 3, E), at rest; `first` says no more."""
        memory = Memory.bare(latents)
        return memory._replace(filled=torch.ones_like(memory.filled))

    def foresee(self, pose: Tensor, motion: Tensor, action: Tensor) -> _Step:
        """One step of pose and motion (B, E) under actions (B, A), and the members' spread (B,)."""
        given = torch.cat([pose, motion, action], -1)
        # bfloat16 tells poses no finer than a percent of their size.
        with torch.autocast(given.device.type, enabled=False):
            said = torch.stack([member(given) for member in self.nets])
        mean = said.mean(0)
        doubt = (said - mean).square().mean((0, 2)).sqrt()
        push, slip = mean.float().chunk(2, -1)
        motion = motion + push
        return _Step(pose + motion + slip, motion, doubt.float())

    def predict(
        self,
        memory: Memory,
        action: Tensor,
        candidate: Tensor | None = None,
        level: Tensor | None = None,
        span: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Prediction:
        """The next frame's latents under actions (B, A) in [-1, 1]; there is no flow to refine."""
        tokens = memory.latents
        step = self.foresee(tokens[:, POSE], tokens[:, MOTION], action)
        deed = F.pad(
            torch.cat([action.float(), step.doubt[:, None]], -1),
            (0, tokens.shape[-1] - action.shape[-1] - 1),
        )
        latents = torch.stack([step.pose, step.motion, deed], 1)
        none = memory.places.new_zeros(len(tokens), 0)
        return Prediction(latents, tokens.new_zeros(len(tokens), 0), none, ())

    def advance(self, memory: Memory, latents: Tensor, prediction: Prediction) -> Memory:
        """Memory after the next frame turned out to be `latents` (B, 3, E)."""
        foreseen = prediction.latents
        surprise = latents[:, POSE] - foreseen[:, POSE]
        pose, motion = self.corrected(
            foreseen[:, POSE], foreseen[:, MOTION], surprise, memory.filled
        )
        filled = (memory.filled + 1).clamp(max=int(self.config.context))
        tokens = torch.stack([pose, motion, foreseen[:, DEED]], 1)
        return memory._replace(latents=tokens, filled=filled)

    def corrected(
        self, pose: Tensor, motion: Tensor, surprise: Tensor, filled: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Pose and motion (B, E) after a surprise (B, E), `filled` (B,) frames seen before."""
        index = filled - 1
        pose = pose + self.pose_gain[index] * surprise
        return pose, motion + self.motion_gain[index] * surprise

    def state(self, latents: Tensor) -> Tensor:
        """The recorded state (B, S), in its own units, read off latents (B, 3, E).

        Raises:
            ConfigError: it was trained without.
        """
        if self.readout is None:
            raise ConfigError("This model was trained on recordings without a state to read off.")
        read: Tensor = self.readout(latents[:, :DEED].flatten(1))
        return read.float() * self.state_scale + self.state_mean
