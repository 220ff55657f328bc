"""The lanes of a world model that fit a policy's eyes."""

from __future__ import annotations

from typing import Any

from agents.policy.lanes import Lanes, LatentLanes
from agents.policy.layer_eyes import LayerEyes
from agents.policy.policy import Policy
from agents.policy.pose_lanes import PoseLanes
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["lanes_of"]


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
