"""Comparisons of `worldmodel train`: ways to afford a resolution, and one trunk or two."""

import json
import shutil

import numpy as np
import pytest
import torch

from multimodal.audio.speech import VOICES, SpeechCorpus
from multimodal.errors import ConfigError
from tests.worldmodel.vlm_recordings import TINY, record_scenes, save_text
from worldmodel.cli import composed
from worldmodel.comparisons.joint import build, flops_of_step
from worldmodel.comparisons.table import write_table
from worldmodel.runs import RunDirectory
from worldmodel.training.run import run
from worldmodel.training.stages import Source

ARMS = ("reconstruction", "shared", "two_encoders")
JOINT = [
    "size.tokenizer.width=8",
    "size.tokenizer.latent_channels=8",
    "size.dynamics.width=16",
    "size.dynamics.heads=2",
    "size.dynamics.active_tokens=4",
    "size.codec.encoder_width=16",
    "size.codec.decoder_width=16",
    "size.joint.frames=3",
    "size.joint.horizon=2",
    "size.joint.test_clips=4",
    "size.budget.joint.steps=2",
    "size.budget.joint.batch_size=3",
    "size.budget.codec.sentences=2",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparisons")
    record_scenes(folder / "scenes")
    save_text(folder / "text")
    return folder


def settings(place, objective, *more):
    folders = [f"data={place / 'scenes'}", f"text={place / 'text'}", f"speech={place / 'speech'}"]
    chosen = [*TINY, *folders, f"objective={objective}", f"out={place / objective}", *more]
    return composed("train", chosen)


def test_ways_to_afford_a_resolution_are_measured_on_the_same_questions(place):
    small = ["size.resolution.width=8", "size.budget.resolution.steps=2"]
    more = [*small, "size.budget.resolution.batch_size=2", "size.resolution.further=0.5"]
    assert run(settings(place, "resolution", *more)) == 0
    figures = json.loads((place / "resolution" / "metrics.json").read_text())
    assert figures["resolution_full_tokens"] == 16
    assert figures["resolution_perceiver_tokens"] == 4
    assert figures["resolution_pyramid_tokens"] == 8
    lost = figures["resolution_full_right"] - figures["resolution_perceiver_right"]
    assert figures["perceiver_loss"] == pytest.approx(lost)
    assert "| perceiver |" in (place / "resolution" / "table.md").read_text()


@pytest.fixture(scope="module")
def speech(place):
    if shutil.which("espeak-ng") is None:
        pytest.skip("apt-get install espeak-ng")
    few = {split: voices[:1] for split, voices in VOICES.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("multimodal.audio.speech.VOICES", few)
        assert run(settings(place, "joint", *JOINT)) == 0
    return place / "speech"


def test_everything_learns_in_one_run_and_sharing_is_judged(place, speech):
    figures = json.loads((place / "joint" / "metrics.json").read_text())
    assert np.isfinite(list(figures.values())).all()
    for name in ("joint_psnr_loss_db", "joint_vlm_loss"):
        assert name in figures
    history = (place / "joint" / "shared" / "history.jsonl").read_text().splitlines()
    last = json.loads(history[-1])
    assert {"pixels", "clip", "vlm", "dynamics", "audio"} <= last.keys()


@pytest.mark.parametrize("sharing", ARMS)
def test_readers_teach_the_encoder_only_where_they_share_it(place, speech, sharing):
    source = Source(settings(place, "joint", *JOINT), place / "joint")
    arm = build(source, SpeechCorpus.open(speech), sharing)
    video = torch.randint(0, 255, (2, 3, 64, 64, 3), dtype=torch.uint8)
    latents = arm.trunk.encode(video[:, [0, -1]])
    seen = arm.seen(video, latents)
    if seen.requires_grad:
        seen.square().sum().backward()
    taught = any(p.grad is not None for p in arm.trunk.encoder.parameters())
    assert taught is (sharing == "shared")
    own = arm.eye is not None and all(p.grad is not None for p in arm.eye.parameters())
    assert own is (sharing == "two_encoders")


def test_a_second_encoder_costs_more_a_step(place, speech):
    from multimodal.joint_clips import collate_joint
    from worldmodel.comparisons.joint import _clips

    source = Source(settings(place, "joint", *JOINT), place / "joint")
    corpus = SpeechCorpus.open(speech)
    clips = _clips(source, corpus, "train", 0, 8, 3)
    batch = collate_joint([clips[k] for k in range(2)])
    cost = {arm: flops_of_step(build(source, corpus, arm), batch) for arm in ARMS}
    assert cost["reconstruction"] < cost["two_encoders"]
    assert cost["reconstruction"] < cost["shared"]


def test_a_table_leaves_empty_what_an_arm_lacks(tmp_path):
    path = write_table(RunDirectory(tmp_path), "t", {"a": {"x": 1.0}, "b": {"x": 2.0, "y": 0.5}})
    assert path.read_text().splitlines()[-2:] == ["| a | 1 |  |", "| b | 2 | 0.5 |"]


def test_an_objective_that_does_not_exist_is_refused_with_the_names(place):
    with pytest.raises(ConfigError, match="resolution"):
        run(settings(place, "resolutions"))
