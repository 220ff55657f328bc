"""How the dynamics is trained: the settings that the recipes in `configs/recipe/` choose."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Recipe", "Stage"]


class Stage(BaseModel):
    """A stretch of training; the last one lasts until the end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    """Optimiser steps of the stage."""
    frames: int = Field(ge=2)
    """Frames of each clip that are used."""
    unroll: bool
    """Whether the clip follows the model's own outputs after a few given frames."""
    blind: int = Field(default=0, ge=0)
    """Up to so many own steps are taken without gradients or loss before those that count: the
    model then meets what it makes of a scene after a while, at a third of the cost."""


class Recipe(BaseModel):
    """One way to train and sample the dynamics; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """As it appears in tables and model cards."""
    source: Literal["last", "noise"] = "last"
    """Where the flow to the next frame starts."""
    forcing: Literal["steps", "levels"] = "steps"
    """`steps` trains on the sampler's own path; `levels` at a random noise level for each frame,
    with shortcut self-consistency (diffusion forcing)."""
    sampling_steps: int = Field(default=1, ge=1)
    """Evaluations for each frame in a rollout; in training a number up to it is drawn."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """Short and teacher-forced first, long and unrolled later."""
    single_image: float = Field(default=0.3, ge=0, le=1)
    """Share of the batches that start from one image instead of a few frames."""
    context_noise: float = Field(default=0.1, ge=0)
    """Largest standard deviation of the noise on given frames; the model is told how much."""
    damage: float = Field(default=0.0, ge=0, le=1)
    """Share of the unrolled clips whose last given frame is damaged in places, as if an object
    had faded or smeared: the model learns to make it whole again."""
    realism: float = Field(default=0.0, ge=0)
    """How hard a critic's verdict pulls at a clip's last frame, against the frame's own error;
    0 trains without a critic."""
    lively: int = Field(default=1, ge=1)
    """Clips drawn for each one that is used: the one in which most changes."""
    changed_weight: float = Field(default=5.0, ge=1)
    """Weight of a token that changes, or is wrong, against 1 for one that does not."""
    ema: float = Field(default=0.995, ge=0, lt=1)
    """Decay of the averaged weights, which are what is exported."""

    def stage(self, step: int) -> Stage:
        """The stage that optimiser step `step` (from 0) belongs to."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    @property
    def clip_frames(self) -> int:
        """Frames a training clip must have."""
        return max(stage.frames for stage in self.stages)
