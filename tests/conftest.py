"""What every test gets: threads that fit the machine, no network, a folder of its own."""

import os

# Before torch is imported by any test: the tests share the cores with each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import pytest
import torch

from worldmodel.pipeline import WorldModelPipeline


@pytest.fixture(autouse=True)
def _runs_go_to_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verbs write to runs/ in the working directory unless told otherwise."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def tiny_pipeline() -> WorldModelPipeline:
    """An untrained pipeline for `worldmodel/Push-v0`, small enough to step in a millisecond."""
    from diffusers import FlowMapEulerDiscreteScheduler

    from envs.push import PushWorld
    from multimodal.tokenizer import VideoTokenizer
    from worldmodel.dynamics import Dynamics

    world = PushWorld()
    _, info = world.reset(seed=0)
    world.close()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return WorldModelPipeline(
            VideoTokenizer(latent_channels=8, width=16),
            Dynamics(2, len(info["goal"]), channels=8, width=32, heads=2, kv_heads=1, layers=2),
            FlowMapEulerDiscreteScheduler(),
            world="worldmodel/Push-v0",
        )
