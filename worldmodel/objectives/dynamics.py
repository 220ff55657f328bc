"""What the dynamics is trained for: the next frame, again and again, from its own outputs."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import FlowMapEulerDiscreteScheduler
from torch import Tensor, nn

from worldmodel.dynamics import Dynamics, Memory, Prediction
from worldmodel.objectives.damage import damaged
from worldmodel.objectives.realism import Critic, Verdict
from worldmodel.objectives.shortcut import shortcut_step
from worldmodel.recipe import Recipe
from worldmodel.sampler import next_frame

__all__ = ["DynamicsObjective"]

CHANGE = 0.05
WRONG = 0.3


def _gradient_ratio(one: Tensor, other: Tensor, frame: Tensor) -> Tensor:
    """How much more the loss `one` pulls at a frame than `other` does, without gradient."""
    pulls = [torch.autograd.grad(loss, frame, retain_graph=True)[0] for loss in (one, other)]
    return (pulls[0].norm() / pulls[1].norm().clamp(min=1e-8)).clamp(max=100.0)


class DynamicsObjective(nn.Module):
    """Rolls clips of latents out frame by frame, as a rollout does, and compares each frame.

    A clip begins with given frames: one alone in some batches, so that a rollout may start from
    a single image. Given frames carry a little noise, whose size the model is told. In unrolled
    stages the rest of the clip follows the model's own outputs, with gradients through the whole
    stretch, which is what keeps objects whole after contact.

    Args:
        dynamics: the model to train.
        recipe: how.
    """

    steps_done: Tensor

    def __init__(self, dynamics: Dynamics, recipe: Recipe) -> None:
        super().__init__()
        self.dynamics = dynamics
        self.average = copy.deepcopy(dynamics).requires_grad_(False).eval()
        self.recipe = recipe
        self.scheduler = FlowMapEulerDiscreteScheduler()
        config = dynamics.config
        self.critic = (
            Critic(config.channels, config.rows, config.columns) if recipe.realism else None
        )
        # Part of the state, so that a resumed run goes on in the right stage.
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.long))

    def after_step(self, step: int) -> None:
        """Move the averaged weights towards the current ones; `step` counts from 1."""
        self.steps_done.fill_(step)
        decay = min(self.recipe.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, now in zip(
                self.average.parameters(), self.dynamics.parameters(), strict=True
            ):
                mean.lerp_(now, 1 - decay)

    def export(self, directory: Path) -> None:
        """Write the averaged dynamics in diffusers' form into `directory`."""
        self.average.save_pretrained(directory)

    def forward(
        self,
        latents: Tensor,
        first: Tensor,
        actions: Tensor,
        rewards: Tensor,
        success: Tensor,
        goal: Tensor,
    ) -> dict[str, Tensor]:
        """Loss of a batch of clips.

        Args:
            latents: (B, T, N, C).
            first: the frame the rollout is said to have begun with (B, N, C).
            actions: (B, T-1, A) in [-1, 1].
            rewards: (B, T-1).
            success: bool (B, T).
            goal: (B, G).

        Returns:
            loss, and the parts: frame, gate, outcome, and error over the frozen frame's; with a
            critic also its loss, its verdict and how often it is right.
        """
        stage = self.recipe.stage(int(self.steps_done))
        latents, first = latents[:, : stage.frames].float(), first.float()
        steps = latents.shape[1] - 1
        given = self._given() if stage.unroll else steps + 1
        blind = min(int(torch.randint(0, stage.blind + 1, ())), steps - 1)
        noise = self._noise(latents)
        memory = self.dynamics.start(self._given_frame(latents, first, 0, given, noise), first)
        frame_loss = latents.new_zeros(())
        gate_loss = latents.new_zeros(())
        error, frozen = latents.new_zeros(()), latents.new_zeros(())
        made: list[Tensor] = []
        for step in range(steps):
            counts = step >= blind
            true, before = latents[:, step + 1], latents[:, step]
            changed = (true - before).square().mean(-1).sqrt() > CHANGE
            # What is visibly wrong has to be chosen and mended as well.
            wrong = (true - memory.latents.detach()).square().mean(-1).sqrt() > WRONG
            due = changed | wrong
            label = noise if step < given else noise * 0
            with torch.set_grad_enabled(torch.is_grad_enabled() and counts):
                prediction, loss = self._step(memory, actions[:, step], true, due, label)
            if counts:
                gate = F.binary_cross_entropy_with_logits(prediction.gate, due.float())
                frame_loss = frame_loss + loss / (steps - blind)
                gate_loss = gate_loss + gate / (steps - blind)
                error = error + (prediction.latents.detach() - true).square().mean()
                frozen = frozen + (latents[:, 0] - true).square().mean()
            made.append(prediction.latents)
            fed = prediction.latents
            if step + 1 < given:
                fed = self._given_frame(latents, first, step + 1, given, noise)
            memory = self.dynamics.advance(memory, fed, prediction)
        outcome = self._outcome_loss(latents, rewards[:, :steps], success, goal)
        loss = frame_loss + gate_loss + 0.1 * outcome
        judged: dict[str, Tensor] = {}
        if self.critic is not None:
            own = max(blind, given)
            verdict = self._verdict(self.critic, latents, first, made, own, noise == 0)
            loss = loss + self._criticised(verdict, frame_loss, made[-1])
            judged = verdict._asdict()
        return {
            "loss": loss,
            "frame": frame_loss,
            "gate": gate_loss,
            "outcome": outcome,
            "over_frozen": error / frozen,
            **judged,
        }

    def _criticised(self, verdict: Verdict, frame_loss: Tensor, last: Tensor) -> Tensor:
        """The critic's own loss, and its verdict as strong as the frames' error at the last one."""
        if not torch.is_grad_enabled():
            return verdict.critic
        ratio = _gradient_ratio(frame_loss, verdict.realism, last)
        return verdict.critic + self.recipe.realism * ratio * verdict.realism

    @staticmethod
    def _verdict(
        critic: Critic,
        latents: Tensor,
        first: Tensor,
        made: list[Tensor],
        own: int,
        clean: Tensor,
    ) -> Verdict:
        """Judge the last frame and one earlier own frame, where anything has changed since 0.

        Clips that were given noise, which copied tokens keep, would be told apart by it: only
        `clean` ones (B,) count.
        """
        last = len(made) - 1
        steps = {last, int(torch.randint(min(own, last), last + 1, ()))}
        real = torch.cat([latents[:, step + 1] for step in steps])
        ours = torch.cat([made[step] for step in steps])
        start, first = (x.repeat(len(steps), 1, 1) for x in (latents[:, 0], first))
        where = ((real - start).abs() > CHANGE).any(-1) | ((ours - start).abs() > CHANGE).any(-1)
        return critic.compare(real, ours, first, where & clean.repeat(len(steps))[:, None])

    def _given_frame(
        self, latents: Tensor, first: Tensor, step: int, given: int, noise: Tensor
    ) -> Tensor:
        """Frame `step` as the model is given it (B, N, C): noisy, the last one damaged as well."""
        frame = latents[:, step]
        if step == given - 1 and self.recipe.damage:
            config = self.dynamics.config
            later = latents[:, int(torch.randint(step, latents.shape[1], ()))]
            faded = torch.rand(len(frame), 1, 1, device=frame.device) < 0.5
            other = torch.where(faded, first, later)
            frame = damaged(frame, other, self.recipe.damage, config.rows, config.columns)
        return frame + noise[:, None, None] * torch.randn_like(frame)

    def _given(self) -> int:
        """How many true frames an unrolled batch is fed before it follows itself."""
        alone = float(torch.rand(())) < self.recipe.single_image
        return 1 if alone else int(torch.randint(2, 5, ()))

    def _noise(self, latents: Tensor) -> Tensor:
        """Standard deviation of the noise on given frames (B,); half of the clips are clean."""
        batch = len(latents)
        size = torch.rand(batch, device=latents.device) * self.recipe.context_noise
        return size * (torch.rand(batch, device=latents.device) < 0.5)

    def _step(
        self, memory: Memory, action: Tensor, true: Tensor, due: Tensor, label: Tensor
    ) -> tuple[Prediction, Tensor]:
        """Predict one frame and weigh its error: the prediction and a scalar.

        Args:
            memory: of the rollout so far.
            action: (B, A).
            true: the next frame (B, N, C).
            due: tokens that change or are wrong, bool (B, N).
            label: of the noise in the memory (B,).
        """
        weight = 1 + (self.recipe.changed_weight - 1) * due.float()
        if self.recipe.forcing == "levels":
            prediction, target, size = shortcut_step(
                self.dynamics, self.average, memory, action, true, self.recipe.source, label
            )
            weight = weight * size[:, None]
        else:
            count = int(torch.randint(1, self.recipe.sampling_steps + 1, ()))
            prediction = next_frame(
                self.dynamics,
                memory,
                action,
                self.scheduler,
                count,
                self.recipe.source,
                label,
            )
            target = true
        error = (prediction.latents - target).square().mean(-1)
        return prediction, (error * weight).mean()

    def _outcome_loss(
        self, latents: Tensor, rewards: Tensor, success: Tensor, goal: Tensor
    ) -> Tensor:
        """Reward and termination of one random later frame of each clip, slightly disturbed."""
        batch, steps = rewards.shape
        rows = torch.arange(batch, device=latents.device)
        picked = torch.randint(steps, (batch,), device=latents.device)
        seen = latents[rows, picked + 1]
        seen = seen + 0.05 * torch.randn_like(seen)
        logits = self.dynamics.outcome(seen, goal)
        ended = success[rows, picked + 1]
        return self.dynamics.outcome.loss(logits, rewards[rows, picked], ended)
