"""The simulator that a model was learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envs.adapter import make_world
from envs.mujoco_world import MujocoWorld
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["simulator_of"]


def simulator_of(
    pipeline: WorldModelPipeline, options: Mapping[str, Any] | None = None
) -> MujocoWorld:
    """The MuJoCo world that a model was learned from, made anew.

    Args:
        pipeline: the model.
        options: keyword arguments of the world; None takes those of the recordings.

    Raises:
        ConfigError: there is no such world, or it does not know the options.
    """
    options = pipeline.config.world_options if options is None else options
    return make_world(str(pipeline.config.world), pipeline.frame_shape[0], **options)
