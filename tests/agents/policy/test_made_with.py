"""A training that was begun goes on with the settings it was begun with, or begins anew."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from agents.policy.made_with import MADE_WITH, note_settings, require_same
from multimodal.errors import ConfigError
from worldmodel.cli import main
from worldmodel.runs import RunDirectory


def test_a_part_that_was_made_otherwise_is_refused(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    settings = {"eyes.steps": 700, "again.unroll": OmegaConf.create([[0.0, 4]])}
    require_same(run, "clone", {"eyes.steps": 5})
    note_settings(run, "clone", settings)
    require_same(run, "clone", settings)
    note_settings(run, "imagination", {"eyes.steps": 3})
    # A setting that this version has and the run's did not know is no change.
    require_same(run, "clone", {**settings, "width": 192})
    with pytest.raises(ConfigError, match=r"eyes\.steps=700 \(now 300\).*resume=never"):
        require_same(run, "clone", {**settings, "eyes.steps": 300})
    with pytest.raises(ConfigError, match=r"again\.unroll"):
        require_same(run, "clone", {**settings, "again.unroll": [[0.0, 8]]})
    made = json.loads((tmp_path / MADE_WITH).read_text())
    assert made["clone"]["eyes.steps"] == 700


def test_a_command_that_was_refused_binds_nobody_to_its_settings(
    world_model: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learned = f"world.options.checkpoint={world_model}"
    words = ["policy", "train", learned, f"out={tmp_path}", "eyes.steps=1", "cloning.steps=1"]
    assert main([*words, f"data={tmp_path / 'nowhere'}"]) == 1
    assert main([*words, f"data={recording}", "sees=layers"]) == 2
    assert main([*words, f"data={recording}", "eyes.batch_size=0"]) == 2
    assert "eyes.batch_size=0: Input should be greater" in capsys.readouterr().err
    assert not (tmp_path / MADE_WITH).exists()
    small = ["eyes.batch_size=4", "cloning.batch_size=4", "imagination.rounds=1"]
    small += ["imagination.lanes=2", "imagination.horizon=1", "width=32", "eyes_width=8"]
    assert main([*words, *small, f"data={recording}"]) == 0
    made = json.loads((tmp_path / MADE_WITH).read_text())
    assert made["clone"]["data"] == str(recording)
    capsys.readouterr()
    assert main([*words, *small, f"data={tmp_path / 'nowhere'}"]) == 2
    assert "made with data=" in capsys.readouterr().err.replace("\n", " ")


def test_resume_never_sets_aside_all_that_an_earlier_training_left(tmp_path: Path) -> None:
    left = [
        "clone",
        "anew",
        "policy",
        "policy-1",
        "world-0",
        "imagination",
        "round-2",
        "data",
        "eyes",
    ]
    for name in left:
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text("old")
    for name in ("seconds.json", MADE_WITH, "rounds.json"):
        (tmp_path / name).write_text("{}")
    # Refused before anything is trained, so that this shows what was done until then.
    words = ["policy", "train", f"out={tmp_path}", "imagination.rounds=0"]
    assert main(words) == 2
    assert (tmp_path / "clone").is_dir(), "resume=auto leaves everything where it is"
    assert main([*words, "resume=never"]) == 2
    aside = tmp_path / "previous-1"
    assert all((aside / name / "weights").read_text() == "old" for name in left)
    assert (aside / "seconds.json").is_file()
    assert not any((tmp_path / name).exists() for name in [*left, MADE_WITH, "rounds.json"])
