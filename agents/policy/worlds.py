"""Which world a policy is of: the model that a command names, its lanes, and its simulator."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.policy.lanes import Lanes, LatentLanes
from agents.policy.layer_eyes import LayerEyes
from agents.policy.policy import Policy
from agents.policy.pose_lanes import PoseLanes
from envs.adapter import make_world
from envs.episode_recorder import Recording
from envs.mujoco_world import MujocoWorld
from multimodal.errors import ConfigError
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["judged_in", "lanes_of", "recording_like", "simulator_of", "world_checkpoint"]


def lanes_of(pipeline: WorldModelPipeline, policy: Policy) -> Lanes[Any]:
    """A world model as lanes: over poses for a policy that sees layers, else over latents.

    Raises:
        CheckpointError: the policy was not trained to see what this model makes.
    """
    policy.attach(pipeline)
    eyes = policy.view.eyes
    return (
        PoseLanes(pipeline, eyes)
        if isinstance(eyes, LayerEyes)
        else LatentLanes(pipeline, policy.view)
    )


def simulator_of(
    pipeline: WorldModelPipeline, options: Mapping[str, Any] | None = None
) -> MujocoWorld:
    """The MuJoCo world that a model was learned from, made anew.

    Args:
        pipeline: the model.
        options: keyword arguments of the world; None takes those of the recordings.
    """
    options = pipeline.config.world_options if options is None else options
    return make_world(str(pipeline.config.world), pipeline.frame_shape[0], **options)


def recording_like(pipeline: WorldModelPipeline, steps: int, seed: int) -> Recording:
    """Episodes of the world that a model was learned from."""
    options = json.dumps(pipeline.config.world_options, sort_keys=True)
    return Recording(str(pipeline.config.world), pipeline.frame_shape[0], options, steps, seed)


def world_checkpoint(cfg: DictConfig) -> str:
    """The world model named by a learned world of `configs/world/`.

    Raises:
        ConfigError: a MuJoCo world was chosen instead of a learned one.
    """
    checkpoint = OmegaConf.select(cfg, "world.options.checkpoint")
    if not checkpoint:
        raise ConfigError(
            f"world={cfg.world.id} is no learned world. Policies are trained in one: "
            "world=PushLearned, or any other with world.options.checkpoint=DIR."
        )
    return str(checkpoint)


def judged_in(cfg: DictConfig) -> dict[str, Any] | None:
    """With which options the MuJoCo world is made that policies are judged in, None for its own."""
    wanted = cfg.judged_in
    return None if wanted is None else {str(name): value for name, value in wanted.items()}
