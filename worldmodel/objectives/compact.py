"""What a compact world is trained for: to see where things are, and to foresee where they go."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from worldmodel.compact import TOKENS, CompactDynamics, CompactTokenizer

__all__ = ["CompactObjective"]


class CompactObjective(nn.Module):
    """Filters the first frames of clips, then goes on blindly; both must tell what was recorded.

    At every frame the pose must draw the picture, pose and motion must tell the recorded state,
    reward and termination; what was foreseen must agree with what the eye sees.

    Args:
        tokenizer: whose eye and hand learn; its trunk stays as it is.
        dynamics: learns with it.
        watched: frames of a clip that are seen before it goes on blindly.
        pictures: share of the frames whose picture is drawn, which costs most.
    """

    def __init__(
        self,
        tokenizer: CompactTokenizer,
        dynamics: CompactDynamics,
        watched: int = 4,
        pictures: float = 0.12,
    ) -> None:
        super().__init__()
        self.tokenizer, self.dynamics = tokenizer, dynamics
        self.watched, self.pictures = watched, pictures
        tokenizer.trunk.requires_grad_(False)

    def forward(
        self,
        latents: Tensor,
        actions: Tensor,
        rewards: Tensor,
        ends: Tensor,
        state: Tensor,
        fresh: Tensor,
        length: Tensor,
    ) -> dict[str, Tensor]:
        """Loss of a batch of clips.

        Args:
            latents: trunk tokens of the frames (B, T, N, C).
            actions: (B, T-1, A) in [-1, 1].
            rewards: (B, T-1).
            ends: bool (B, T-1).
            state: recorded state (B, T, S).
            fresh: whether a clip begins where its episode does, at rest, bool (B,).
            length: frames that are there (B,); those after are repeated and do not count.
        """
        batch, frames = latents.shape[:2]
        there = (torch.arange(frames, device=length.device) < length[:, None]).float()
        # The eye costs most: it looks at what is watched, and at the last frame to compare with.
        looked = sorted({*range(min(self.watched, frames)), frames - 1})
        seen = self.tokenizer.pose(latents[:, looked].flatten(0, 1).float())
        poses = seen.new_zeros(batch, frames, seen.shape[-1])
        poses[:, looked] = seen.unflatten(0, (batch, len(looked)))
        tokens, foreseen = self._followed(poses, actions, fresh)
        later = there[:, 1:]
        after = torch.tensor([index - 1 for index in looked if index])
        miss = (foreseen[:, after] - poses[:, after + 1]).square().mean(-1)
        figures = {
            "pose_loss": _mean(miss, later[:, after]),
            "picture_loss": 0.5
            * (
                self._picture_loss(poses[:, looked], latents[:, looked], there[:, looked])
                + self._picture_loss(foreseen, latents[:, 1:], later)
            ),
        }
        logits = self.dynamics.outcome(tokens[:, 1:].flatten(0, 1), tokens.new_zeros(0))
        reward_loss, end_loss = self.dynamics.outcome.losses(
            logits, rewards.flatten(), ends.flatten()
        )
        figures["reward_loss"] = _mean(reward_loss.view_as(later), later)
        figures["end_loss"] = _mean(end_loss.view_as(later), later)
        with torch.no_grad():
            told = self.dynamics.outcome.expect(logits[0]).view_as(later)
            figures["reward_error"] = _mean((told - rewards).abs(), later)
        loss = figures["pose_loss"] + 5 * figures["picture_loss"]
        loss = loss + 0.3 * figures["reward_loss"] + figures["end_loss"]
        if self.dynamics.readout is not None:
            miss = self._state_miss(tokens, state)
            # A blow that sends everything flying must not outweigh all else.
            figures["state_loss"] = _mean(
                nn.functional.smooth_l1_loss(
                    miss, torch.zeros_like(miss), reduction="none", beta=0.3
                ).mean(-1),
                there,
            )
            loss = loss + 2 * figures["state_loss"]
            figures["state_error"] = _mean(miss[:, -1].abs().mean(-1), there[:, -1])
        return {"loss": loss, **figures}

    def _followed(self, poses: Tensor, actions: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, T, 3, E) of all frames, and poses foreseen for all but the first."""
        batch, frames = poses.shape[:2]
        still = torch.zeros_like(poses[:, 0])
        tokens = [torch.stack([poses[:, 0], still, still], 1)]
        memory = self.dynamics.start(tokens[0])
        # Where an episode begins everything rests, and one frame is enough.
        watched = torch.where(
            fresh & (torch.arange(batch, device=fresh.device) % 2 == 0), 1, self.watched
        )
        foreseen = []
        for step in range(frames - 1):
            prediction = self.dynamics.predict(memory, actions[:, step])
            ahead = prediction.latents
            foreseen.append(ahead[:, 0])
            pose = torch.where((step + 1 < watched)[:, None], poses[:, step + 1], ahead[:, 0])
            latents = torch.cat([pose[:, None], ahead[:, 1:]], 1)
            memory = self.dynamics.advance(memory, latents, prediction)
            tokens.append(memory.latents)
        stacked = torch.stack(tokens, 1)
        assert stacked.shape[2] == TOKENS
        return stacked, torch.stack(foreseen, 1)

    def _picture_loss(self, poses: Tensor, latents: Tensor, there: Tensor) -> Tensor:
        """Error of the pictures of poses (B, T, E), at some of the frames that are there."""
        rows = there.flatten().nonzero()[:, 0]
        count = max(1, int(self.pictures * len(rows)))
        pick = rows[torch.randperm(len(rows), device=rows.device)[:count]]
        drawn = self.tokenizer.drawn(poses.flatten(0, 1)[pick])
        return (drawn - latents.flatten(0, 1)[pick].float()).square().mean()

    def _state_miss(self, tokens: Tensor, state: Tensor) -> Tensor:
        """Error (B, T, S) of the state read off, in standard deviations."""
        assert self.dynamics.readout is not None
        read = self.dynamics.readout(tokens[:, :, :2].flatten(2))
        return read - (state - self.dynamics.state_mean) / self.dynamics.state_scale

    def export(self, directory: Path) -> None:
        """Write both models in diffusers' form."""
        self.tokenizer.save_pretrained(directory / "tokenizer")
        self.dynamics.save_pretrained(directory / "dynamics")


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1)
