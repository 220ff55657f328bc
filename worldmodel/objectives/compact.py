"""What a compact world is trained for: to see where things are, and to foresee where they go."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from worldmodel.compact import DEED, TOKENS, CompactDynamics, CompactTokenizer
from worldmodel.dynamics import Memory

__all__ = ["CompactObjective"]

# What each error weighs; the pose's weighs 1.
_PICTURE, _REWARD, _END, _STATE = 5.0, 0.3, 1.0, 2.0
# Deviations beyond which an error counts linearly: a blow that sends everything flying must not
# outweigh all else.
_BLOW = 0.3


class CompactObjective(nn.Module):
    """Filters the first frames of clips, then goes on blindly; both must tell what was recorded.

    At every frame the pose must draw the picture, pose and motion must tell the recorded state,
    reward and termination; what was foreseen must agree with what the eye sees.

    Few numbers say where an arm is, and a pose has many: what pushes it off the poses there are
    would grow from step to step. So tokens are jittered before each step, and the dynamics learns
    to lead back (Sanchez-Gonzalez et al. 2020, arXiv 2002.09405).

    Args:
        tokenizer: whose eye and hand learn; its trunk stays as it is.
        dynamics: learns with it.
        watched: most frames of a clip that are seen before it goes on blindly; how many is drawn.
            Gains are learned of frames that are watched: more than the dynamics' `context`.
        compared: frames after those at which the eye says what should have been foreseen.
        jitter: noise before each step in training, as a share of how far poses and motions spread.
        pictures: share of the frames whose picture is drawn.
    """

    def __init__(
        self,
        tokenizer: CompactTokenizer,
        dynamics: CompactDynamics,
        watched: int = 10,
        compared: int = 2,
        jitter: float = 0.03,
        pictures: float = 0.12,
    ) -> None:
        super().__init__()
        self.tokenizer, self.dynamics = tokenizer, dynamics
        self.watched, self.compared = watched, compared
        self.jitter, self.pictures = jitter, pictures
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
        looked = self._looked(frames)
        seen = self.tokenizer.pose(latents[:, looked].flatten(0, 1).float())
        poses = seen.new_zeros(batch, frames, seen.shape[-1])
        poses[:, looked] = seen.unflatten(0, (batch, len(looked)))
        tokens, foreseen = self._followed(poses, actions, fresh)
        figures = self._sight_losses(poses, foreseen, latents, there, looked)
        loss = figures["pose_loss"] + _PICTURE * figures["picture_loss"]
        figures |= self._outcome_losses(tokens, rewards, ends, there)
        loss = loss + _REWARD * figures["reward_loss"] + _END * figures["end_loss"]
        if self.dynamics.readout is not None:
            figures |= self._state_losses(tokens, state, there)
            loss = loss + _STATE * figures["state_loss"]
        return {"loss": loss, **figures}

    def _looked(self, frames: int) -> list[int]:
        """Frames that the eye looks at, which costs most: all that may be watched, few later."""
        first = min(self.watched, frames)
        later = first + torch.randperm(frames - first)[: self.compared]
        return [*range(first), *sorted(later.tolist())]

    def _followed(self, poses: Tensor, actions: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, T, 3, E) of all frames, and poses foreseen for all but the first."""
        batch, frames = poses.shape[:2]
        still = torch.zeros_like(poses[:, 0])
        tokens = [torch.stack([poses[:, 0], still, still], 1)]
        memory = self.dynamics.start(tokens[0])
        most = min(self.watched, frames)
        # Where an episode begins everything rests, and one frame is enough.
        least = torch.where(fresh, 1, min(2, most))
        share = torch.rand(batch, device=poses.device)
        watched = least + (share * (most + 1 - least)).long()
        spread = self._spread(poses[:, :most])
        foreseen = []
        for step in range(frames - 1):
            memory = self._jittered(memory, spread)
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

    @torch.no_grad()
    def _spread(self, poses: Tensor) -> Tensor:
        """How far poses (B, T, E) and their changes spread, (2, E)."""
        change = poses.diff(dim=1) if poses.shape[1] > 1 else torch.zeros_like(poses)
        return torch.stack([part.flatten(0, 1).std(0) for part in (poses, change)])

    def _jittered(self, memory: Memory, spread: Tensor) -> Memory:
        if not self.training or self.jitter == 0:
            return memory
        tokens = memory.latents
        noise = self.jitter * spread * torch.randn_like(tokens[:, :DEED])
        return memory._replace(latents=torch.cat([tokens[:, :DEED] + noise, tokens[:, DEED:]], 1))

    def _sight_losses(
        self, poses: Tensor, foreseen: Tensor, latents: Tensor, there: Tensor, looked: list[int]
    ) -> dict[str, Tensor]:
        """Errors of the poses that were foreseen, and of the pictures of seen and foreseen ones."""
        before = [index - 1 for index in looked if index]
        after = [index + 1 for index in before]
        miss = (foreseen[:, before] - poses[:, after]).square().mean(-1)
        seen = self._picture_loss(poses[:, looked], latents[:, looked], there[:, looked])
        ahead = self._picture_loss(foreseen, latents[:, 1:], there[:, 1:])
        return {"pose_loss": _mean(miss, there[:, after]), "picture_loss": 0.5 * (seen + ahead)}

    def _picture_loss(self, poses: Tensor, latents: Tensor, there: Tensor) -> Tensor:
        """Error of the pictures of poses (B, T, E), at some of the frames that are there."""
        rows = there.flatten().nonzero()[:, 0]
        count = max(1, int(self.pictures * len(rows)))
        pick = rows[torch.randperm(len(rows), device=rows.device)[:count]]
        drawn = self.tokenizer.drawn(poses.flatten(0, 1)[pick])
        return (drawn - latents.flatten(0, 1)[pick].float()).square().mean()

    def _outcome_losses(
        self, tokens: Tensor, rewards: Tensor, ends: Tensor, there: Tensor
    ) -> dict[str, Tensor]:
        """Errors of reward and termination of having come to each frame but the first."""
        head, later = self.dynamics.outcome, there[:, 1:]
        logits = head(tokens[:, 1:].flatten(0, 1), tokens.new_zeros(0))
        reward_loss, end_loss = head.losses(logits, rewards.flatten(), ends.flatten())
        with torch.no_grad():
            told = head.expect(logits[0]).view_as(later)
            error = _mean((told - rewards).abs(), later)
        return {
            "reward_loss": _mean(reward_loss.view_as(later), later),
            "end_loss": _mean(end_loss.view_as(later), later),
            "reward_error": error,
        }

    def _state_losses(self, tokens: Tensor, state: Tensor, there: Tensor) -> dict[str, Tensor]:
        """Errors of the state (B, T, S) read off, in standard deviations."""
        dynamics = self.dynamics
        assert dynamics.readout is not None
        read = dynamics.readout(tokens[:, :, :DEED].flatten(2))
        true = (state - dynamics.state_mean) / dynamics.state_scale
        loss = nn.functional.smooth_l1_loss(read, true, reduction="none", beta=_BLOW)
        last = (read - true)[:, -1].abs().mean(-1)
        return {
            "state_loss": _mean(loss.mean(-1), there),
            "state_error": _mean(last, there[:, -1]),
        }

    def export(self, directory: Path) -> None:
        """Write both models in diffusers' form."""
        self.tokenizer.save_pretrained(directory / "tokenizer")
        self.dynamics.save_pretrained(directory / "dynamics")


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1)
