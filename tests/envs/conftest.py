"""A small world model with random weights, for tests of what is built around one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from worldmodel.pipeline import WorldModelPipeline

# The tests share the cores with each other: how long an example takes says nothing of the code.
settings.register_profile("shared_cores", deadline=None)
settings.load_profile("shared_cores")


def tiny_pipeline(seed: int = 0, **options: object) -> WorldModelPipeline:
    """A Push model of the smallest size, whose weights are random, the zeroed ones too."""
    # Most tests of this folder need no torch, which takes seconds to import.
    import torch
    from diffusers import FlowMapEulerDiscreteScheduler

    from envs.push_goals import GOAL_DIM
    from multimodal.tokenizer import VideoTokenizer
    from worldmodel.dynamics import Dynamics
    from worldmodel.pipeline import WorldModelPipeline

    generator = torch.Generator().manual_seed(seed)
    tokenizer = VideoTokenizer(latent_channels=8, width=8)
    dynamics = Dynamics(
        action_dim=2, goal_dim=GOAL_DIM, channels=8, width=24, heads=2, kv_heads=1, layers=2
    )
    with torch.no_grad():
        for model in (tokenizer, dynamics):
            for parameter in model.parameters():
                parameter.copy_(0.15 * torch.randn(parameter.shape, generator=generator))
        # Episodes end by `max_steps` alone, and the first frame is recalled as rarely as untrained.
        dynamics.outcome.end.bias.fill_(-8.0)
        dynamics.recall.bias.fill_(-4.0)
    return WorldModelPipeline(
        tokenizer,
        dynamics,
        FlowMapEulerDiscreteScheduler(),
        **{"world": "worldmodel/Push-v0", "world_options": {"objects": 2}, **options},
    )


@pytest.fixture(scope="session")
def pipeline() -> WorldModelPipeline:
    """The small model; it is shared, so leave its weights alone."""
    return tiny_pipeline()


@pytest.fixture
def make_pipeline() -> Callable[..., WorldModelPipeline]:
    """Makes a small model of a test's own, whose weights it may change."""
    return tiny_pipeline


@pytest.fixture(scope="session")
def start_frames() -> np.ndarray:
    """Five frames of noise to start from, without MuJoCo."""
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
