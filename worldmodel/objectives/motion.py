"""What the motion of sprites is trained for: the next pose, again and again, from its own poses."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodel.motion import Bodies, Motion, Shift
from worldmodel.pose_clips import STILL
from worldmodel.solids import keep_apart

__all__ = ["MotionObjective"]

_SHARP = 4.0


class MotionObjective(nn.Module):
    """Rolls poses out step by step from a true one and pulls each back towards the truth.

    The target of a step is the way from the model's own pose to the true next one: where it has
    drifted in a way that it could have known, it learns to go a little further or less far.

    Args:
        motion: the model to train.
        unroll: (share of the training done, steps rolled out from then on), in order.
        steps: optimiser steps in all.
        ema: decay of the averaged weights, which are what is exported.
        misread_px: largest error of a sprite's centre that training pretends was made.
    """

    steps_done: Tensor

    def __init__(
        self,
        motion: Motion,
        unroll: Sequence[tuple[float, int]],
        steps: int,
        ema: float = 0.995,
        misread_px: float = 0.3,
    ) -> None:
        super().__init__()
        self.motion = motion
        self.average = copy.deepcopy(motion).requires_grad_(False).eval()
        self.unroll, self.steps = tuple(unroll), steps
        self.ema, self.misread_px = ema, misread_px
        # Part of the state, so that a resumed run goes on in the right stage.
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.long))

    def after_step(self, step: int) -> None:
        """Move the averaged weights towards the current ones; `step` counts from 1."""
        self.steps_done.fill_(step)
        decay = min(self.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.motion.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)

    def export(self, directory: Path) -> None:
        """Write the averaged weights in diffusers' form into `directory`."""
        self.average.save_pretrained(directory)

    def length(self) -> int:
        """Steps that are rolled out at this point of the training."""
        done = int(self.steps_done) / self.steps
        return [length for start, length in self.unroll if done >= start][-1]

    def forward(
        self,
        pose: Tensor,
        before: Tensor,
        actions: Tensor,
        present: Tensor,
        driven: Tensor,
        sprites: Tensor,
        reach: Tensor,
    ) -> dict[str, Tensor]:
        """Loss of a batch of clips; M bodies.

        Args:
            pose: true poses (B, T+1, M, 3).
            before: the pose one step earlier, the first one where there is none (B, M, 3).
            actions: (B, T, A) in [-1, 1].
            present: bool (B, M).
            driven: bool (B, M).
            sprites: (B, M, 4, S, S).
            reach: how far sprites reach in each direction (B, M, D).

        Returns:
            loss, and without gradient what the last step is off: driven_px, and moved_px and
            moved_over_frozen of free bodies that moved.
        """
        steps = min(self.length(), actions.shape[1])
        pose, actions = pose[:, : steps + 1], actions[:, :steps]
        if self.training:
            size_px = float(self.motion.config["size_px"])
            pose, before, actions = _turned_table(pose, before, actions, size_px)
            misread = self.misread_px * (2 * torch.rand_like(pose[:, :1]) - 1)
            misread[..., 2] = 0
            pose, before = pose + misread, before + misread[:, 0]
        look = self.motion.look(sprites)
        shift = _step(before, pose[:, 0])
        shift = shift * (shift.abs().amax(-1, keepdim=True) > STILL)
        if self.training:
            # A rollout may begin at one image, which shows no velocity.
            shift = shift * (torch.rand(len(pose), 1, 1, device=pose.device) < 0.5)
        own = pose[:, 0]
        loss = pose.new_zeros(())
        for step in range(steps):
            bodies = Bodies(own, shift, look, driven, present, reach)
            said = self.motion(bodies, actions[:, step])
            moves = _step(pose[:, step], pose[:, step + 1]).abs().amax(-1) > STILL
            miss = (said.mean - _step(own, pose[:, step + 1])) / self.motion.scale * _SHARP
            error = F.smooth_l1_loss(miss, torch.zeros_like(miss), reduction="none").mean(-1)
            gate = F.binary_cross_entropy_with_logits(said.moves, moves.float(), reduction="none")
            share = present.float() / present.sum().clamp(min=1) / steps
            loss = loss + ((error * moves + 0.3 * gate) * share).sum()
            own = self._moved(bodies, said)
            shift = own - bodies.pose
        return {"loss": loss} | _misses(own.detach(), pose, present, driven)

    def _moved(self, bodies: Bodies, said: Shift) -> Tensor:
        """Where a rollout would have the bodies after the step (B, M, 3)."""
        pose = bodies.pose + said.settled() * bodies.present[..., None]
        if not self.motion.solid:
            return pose
        # Making room is no part of what is learnt: it comes back unchanged in the gradient.
        return pose + (keep_apart(self.motion.outlines(bodies), pose.detach()) - pose.detach())


def _misses(own: Tensor, pose: Tensor, present: Tensor, driven: Tensor) -> dict[str, Tensor]:
    """How far the last poses are off, in pixels."""
    off = (own - pose[:, -1])[..., :2].norm(dim=-1)
    went = (pose[:, -1] - pose[:, 0])[..., :2].norm(dim=-1)
    moved = present & ~driven & (went > 1)
    count = moved.sum().clamp(min=1)
    error, frozen = (off * moved).sum() / count, (went * moved).sum() / count
    pulled = present & driven
    return {
        "driven_px": (off * pulled).sum() / pulled.sum().clamp(min=1),
        "moved_px": error,
        "moved_over_frozen": error / frozen.clamp(min=1e-6),
    }


def _step(one: Tensor, other: Tensor) -> Tensor:
    """The way from one pose to another, the turn between -pi and pi."""
    way = other - one
    turn = torch.remainder(way[..., 2:] + math.pi, 2 * math.pi) - math.pi
    return torch.cat([way[..., :2], turn], -1)


def _turned_table(
    pose: Tensor, before: Tensor, actions: Tensor, size_px: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same scene turned by a random multiple of a quarter: a square table looks alike.

    Worlds whose actions are no direction in the picture stay as they are.
    """
    if actions.shape[-1] != 2:
        return pose, before, actions
    for _ in range(int(torch.randint(4, ()))):
        pose, before = (
            torch.stack([x[..., 1], size_px - x[..., 0], x[..., 2] + math.pi / 2], -1)
            for x in (pose, before)
        )
        actions = torch.stack([-actions[..., 1], actions[..., 0]], -1)
    return pose, before, actions
