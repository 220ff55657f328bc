"""Which world a policy is of: the model that a command names, its lanes, what it is judged in."""

from __future__ import annotations

import json
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.policy.lanes import Lanes, LatentLanes
from agents.policy.layer_eyes import LayerEyes
from agents.policy.policy import Policy
from agents.policy.pose_lanes import PoseLanes
from envs.episode_recorder import Recording
from multimodal.errors import ConfigError
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["judged_in", "lanes_of", "recording_like", "world_checkpoint"]


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


def judged_in(cfg: DictConfig, pipeline: WorldModelPipeline) -> dict[str, Any]:
    """With which options the MuJoCo world is made that policies are judged in.

    Args:
        cfg: the composed configuration of `policy`; its `judged_in` names the options, or is null
            for those of the recordings.
        pipeline: the model that was learned from them.

    Raises:
        ConfigError: `judged_in` is not a mapping.
    """
    if cfg.judged_in is None:
        return dict(pipeline.config.world_options)
    wanted = OmegaConf.to_container(OmegaConf.create({"options": cfg.judged_in}), resolve=True)
    assert isinstance(wanted, dict)
    options = wanted["options"]
    if not isinstance(options, dict):
        raise ConfigError(
            f"judged_in={options}; expected options of the world, such as +judged_in.objects=2."
        )
    return {str(name): value for name, value in options.items()}
