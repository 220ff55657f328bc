"""A small recording of the Push table, and an untrained policy for the small world model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from agents.policy.policy import Policy
from agents.policy.trunks import LAYERS, fingerprint_of
from multimodal.flat import FlatEpisodes
from multimodal.store import EpisodeStore
from multimodal.trunk import trunk_fingerprint
from worldmodel.cli import main
from worldmodel.motion import Motion
from worldmodel.pipeline import WorldModelPipeline


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 40 episodes of 30 steps, made by the command."""
    folder = tmp_path_factory.mktemp("data") / "push-v0"
    words = ["episodes=40", "steps=30", "workers=1", "world.options.objects=[1,4]"]
    assert main(["record", f"out={folder}", *words]) == 0
    return folder


@pytest.fixture(scope="session")
def flat(recording: Path) -> FlatEpisodes:
    return FlatEpisodes.open(EpisodeStore.open(recording.parent, recording.name))


@pytest.fixture
def policy(tiny_pipeline: WorldModelPipeline) -> Policy:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Policy(
            trunk=trunk_fingerprint(tiny_pipeline.tokenizer), channels=8, eyes_width=16, width=32
        )
    made.attach(tiny_pipeline.tokenizer)
    return made.eval()


@pytest.fixture(scope="session")
def layered_pipeline(tiny_pipeline: WorldModelPipeline) -> WorldModelPipeline:
    """The small pipeline with the shipped reader of layers and an untrained, small motion."""
    shipped = WorldModelPipeline.from_pretrained("push")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        motion = Motion(2, width=16, look=8)
        # Untrained, it would hold everything still: the pusher shall go where it is told.
        motion.obeys.weight.data[0, 0], motion.obeys.weight.data[1, 1] = 0.1, -0.1
        motion.head.bias.data[3] = 1.0
    return WorldModelPipeline(
        tiny_pipeline.tokenizer,
        tiny_pipeline.dynamics,
        tiny_pipeline.scheduler,
        shipped.layer_reader,
        motion,
        world="worldmodel/Push-v0",
    )


@pytest.fixture
def layer_policy(layered_pipeline: WorldModelPipeline) -> Policy:
    """An untrained policy that sees layers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Policy(
            trunk=fingerprint_of(layered_pipeline.layer_reader),
            eyes_width=8,
            width=32,
            sees=LAYERS,
        )
    made.attach(layered_pipeline)
    return made.eval()


@pytest.fixture(scope="session")
def world_model(
    tiny_pipeline: WorldModelPipeline, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The small pipeline as a folder."""
    folder = tmp_path_factory.mktemp("model") / "pipeline"
    shutil.rmtree(folder, ignore_errors=True)
    tiny_pipeline.save_pretrained(folder)
    return folder
