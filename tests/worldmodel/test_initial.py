"""Training that starts from an earlier model's weights."""

import pytest
import torch
from diffusers import FlowMapEulerDiscreteScheduler

from multimodal.errors import CheckpointError, ConfigError
from multimodal.tokenizer import VideoTokenizer
from worldmodel.dynamics import Dynamics
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.training.initial import InitialWeights


def dynamics(width: int = 32) -> Dynamics:
    return Dynamics(2, 0, channels=8, width=width, heads=4, layers=2, active_tokens=6)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline") / "model"
    torch.manual_seed(0)
    model = WorldModelPipeline(
        VideoTokenizer(latent_channels=8, width=8), dynamics(), FlowMapEulerDiscreteScheduler()
    )
    model.save_pretrained(folder)
    return folder


def test_a_model_gets_every_weight_of_the_earlier_one(pipeline):
    earlier = WorldModelPipeline.from_pretrained(pipeline)
    model = dynamics()
    InitialWeights.of(pipeline, "dynamics").load_into(model)
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(model.parameters(), earlier.dynamics.parameters(), strict=True)
    )


def test_another_architecture_is_refused_and_the_model_is_left_as_it_was(pipeline):
    model = dynamics(width=64)
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ConfigError, match="architecture"):
        InitialWeights.of(pipeline, "dynamics").load_into(model)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_part_that_is_not_there_is_named(pipeline):
    with pytest.raises(CheckpointError, match="initial=null"):
        InitialWeights.of(pipeline, "probe")


def test_other_weights_have_another_hash(pipeline):
    parts = {InitialWeights.of(pipeline, part).sha256 for part in ("tokenizer", "dynamics")}
    assert len(parts) == 2


def test_what_does_not_answer_is_no_model_to_train_on(pipeline):
    with pytest.raises(CheckpointError, match="kind"):
        InitialWeights.of_answers(pipeline)
