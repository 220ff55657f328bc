"""`worldmodel train` from recorded scenes through CLIP to the preference-tuned answers."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from multimodal.errors import CheckpointError, ConfigError, FrameError
from multimodal.vlm.model import VlmModel
from tests.worldmodel.vlm_recordings import TINY, record_scenes, save_eyes, save_text, save_trunk
from worldmodel.checkpoint import write_manifest
from worldmodel.cli import composed
from worldmodel.readers import load_clip, load_vlm
from worldmodel.training.run import run

STAGES = ("clip", "language", "projector", "instruct", "preference")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vlm")
    record_scenes(folder / "scenes")
    save_eyes(folder / "trunk")
    save_text(folder / "text")
    return folder


def train(place, stage, *overrides):
    settings = [
        *TINY,
        f"objective={stage}",
        f"data={place / 'scenes'}",
        f"text={place / 'text'}",
        f"trunk={place / 'trunk'}",
        "reading=null",
        f"out={place / 'run'}",
    ]
    return run(composed("train", [*settings, *overrides]))


@pytest.fixture(scope="module")
def trained(place):
    for stage in STAGES:
        assert train(place, stage) == 0
    return place / "run"


def weights(run, stage):
    (file,) = (run / stage / "model").glob("*.safetensors")
    return load_file(file)


def test_every_stage_leaves_a_verified_model_and_its_figures(trained):
    for stage in STAGES:
        account = json.loads((trained / stage / "training.json").read_text())
        assert account["steps"] == 2
        assert np.isfinite(account["losses"]["loss"])


def test_clip_and_the_vlm_read_the_things_that_the_world_models_reader_cuts_out(trained):
    for stage in ("clip", "projector", "instruct", "preference"):
        config = json.loads((trained / stage / "model" / "config.json").read_text())
        assert config["slots"] == 6
        assert len(config["reader"]) == 16
        assert any(name.startswith("tower.things.shape") for name in weights(trained, stage))


def test_a_whole_model_is_trained_on_without_earlier_stages(place, trained):
    whole, out = trained / "preference" / "model", place / "on"
    rate = "size.budget.instruct.learning_rate=1e-9"
    assert train(place, "instruct", f"initial={whole}", rate, f"out={out}") == 0
    before, after = load_file(whole / "model.safetensors"), weights(out, "instruct")
    assert before.keys() == after.keys()
    for name, value in after.items():
        torch.testing.assert_close(value, before[name], atol=1e-6, rtol=1e-6)
    texts = [folder / "text" / "tokenizer.json" for folder in (whole, out / "instruct" / "model")]
    assert texts[0].read_bytes() == texts[1].read_bytes()


def test_a_chain_starts_from_no_model(place):
    with pytest.raises(ConfigError, match="objective=instruct"):
        train(place, "vlm", "initial=vlm")


def test_the_projector_stage_moves_the_projector_and_no_other_bit(trained):
    clip, language = weights(trained, "clip"), weights(trained, "language")
    after = weights(trained, "projector")
    for name, value in after.items():
        part, _, rest = name.partition(".")
        if part == "tower":
            assert torch.equal(value, clip[name]), name
        elif part == "language":
            assert torch.equal(value, language[rest]), name
    assert {name.partition(".")[0] for name in after} == {
        "tower",
        "language",
        "projector",
        "copier",
    }


def test_the_projector_stage_does_train_the_projector(place, trained):
    short = weights(trained, "projector")
    train(
        place,
        "projector",
        "size.budget.projector.steps=3",
        f"out={place / 'longer'}",
        f"from_run={trained}",
    )
    longer = weights(place / "longer", "projector")
    changed = {n for n in short if not torch.equal(short[n], longer[n])}
    assert changed == {n for n in short if n.startswith("projector.")}


def test_instruction_tuning_trains_every_part(trained):
    before, after = weights(trained, "projector"), weights(trained, "instruct")
    parts = {n.partition(".")[0] for n in before if not torch.equal(before[n], after[n])}
    assert parts == {"tower", "projector", "language", "copier"}


def test_a_finished_stage_is_recognised(place, trained, capsys):
    before = (trained / "instruct" / "model" / "manifest.json").stat().st_mtime_ns
    train(place, "instruct")
    assert (trained / "instruct" / "model" / "manifest.json").stat().st_mtime_ns == before


def test_what_was_trained_opens_and_answers(place, trained):
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    clip = load_clip(trained / "clip" / "model", place / "trunk")
    assert clip.encode_image(frames).shape == (2, 8)
    vlm = load_vlm(trained / "preference" / "model", place / "trunk")
    assert vlm.answer(frames, "What moved?", ["red cube", "nothing"]) in ("red cube", "nothing")
    assert isinstance(vlm.answer(frames[0], "What do you see?"), str)
    with pytest.raises(FrameError, match="64x64"):
        vlm.answer(np.zeros((1, 1, 3), np.uint8), "What do you see?")


def test_lora_trains_few_weights_and_is_merged_into_what_is_exported(place, trained):
    out = place / "lora"
    overrides = ["size.instruct.lora_rank=2", f"out={out}", f"from_run={trained}"]
    train(place, "instruct", *overrides)
    before, after = weights(trained, "projector"), weights(out, "instruct")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("language.model.layers") for name in changed)
    assert not any("embed" in name or "norm" in name for name in changed if "language" in name)
    few = json.loads((out / "instruct" / "training.json").read_text())["trainable_parameters"]
    all_ = json.loads((trained / "instruct" / "training.json").read_text())
    assert few < all_["trainable_parameters"]
    load_vlm(out / "instruct" / "model", place / "trunk")


def sure_of_words(trained, folder):
    """What was trained, but sure what things are called: its words are large."""
    shutil.copytree(trained / "instruct" / "model", folder)
    model = VlmModel.from_pretrained(folder)
    model.language.get_input_embeddings().weight.data.mul_(100)
    model.save_pretrained(folder)
    (folder / "manifest.json").unlink()
    write_manifest(folder, "instruct")
    return folder


def test_some_parts_learn_and_the_others_stay_bit_by_bit(place, trained):
    out, began = place / "copier", sure_of_words(trained, place / "sure")
    learns = "size.instruct.learns=[copier,projector]"
    train(place, "instruct", learns, f"out={out}", f"initial={began}")
    before, after = load_file(began / "model.safetensors"), weights(out, "instruct")
    changed = {name for name in before if not before[name].equal(after[name])}
    assert {name.partition(".")[0] for name in changed} == {"copier", "projector"}
    assert "copier.ends.weight" in changed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["size.instruct.learns=[eyes]"], r"learns=.*copier"),
        (["size.instruct.learns=[]"], r"learns=.*copier"),
        (["size.instruct.learns=[copier]", "size.instruct.lora_rank=8"], "lora_rank=8 trains"),
    ],
)
def test_parts_that_cannot_learn_are_refused(place, trained, settings, message):
    began = f"initial={trained / 'instruct' / 'model'}"
    with pytest.raises(ConfigError, match=message):
        train(place, "instruct", *settings, f"out={place / 'none'}", began)


def test_a_copier_that_a_model_lacks_does_not_learn_alone(place, trained):
    model = VlmModel.from_pretrained(trained / "instruct" / "model")
    bare = VlmModel.from_config({**model.config, "copied": []})
    shutil.copytree(trained / "instruct" / "model", place / "bare")
    bare.save_pretrained(place / "bare")
    (place / "bare" / "manifest.json").unlink()
    write_manifest(place / "bare", "instruct")
    settings = [f"initial={place / 'bare'}", f"out={place / 'none'}"]
    with pytest.raises(ConfigError, match="copies no words"):
        train(place, "instruct", "size.instruct.learns=[copier]", *settings)


def test_a_stopped_stage_goes_on_to_the_same_weights(place, trained):
    settings = [f"from_run={trained}", "size.budget.instruct.steps=4", "save_every=1"]
    train(place, "instruct", *settings, f"out={place / 'whole'}")
    train(place, "instruct", *settings, f"out={place / 'halves'}")
    halves = place / "halves" / "instruct"
    checkpoints = sorted((halves / "checkpoints").iterdir())
    for late in [checkpoints[-1], halves / "model"]:
        shutil.rmtree(late)
    train(place, "instruct", *settings, f"out={place / 'halves'}")
    whole, resumed = weights(place / "whole", "instruct"), weights(place / "halves", "instruct")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_another_trunk_is_refused_by_name(place, trained):
    other = save_trunk(place / "other", seed=1)
    with pytest.raises(CheckpointError, match="reads the tokens of the encoder"):
        load_vlm(trained / "instruct" / "model", other)
    with pytest.raises(CheckpointError, match="reads the tokens of the encoder"):
        load_clip(trained / "clip" / "model", other)


def test_a_language_model_alone_is_no_vision_language_model(place, trained):
    with pytest.raises(CheckpointError, match="'language'"):
        load_vlm(trained / "language" / "model", place / "trunk")
