"""Model cards are made of figures that commands wrote."""

import json
from pathlib import Path

import pytest

from multimodal.errors import CheckpointError
from worldmodel.checkpoint import verify, write_manifest
from worldmodel.model_card import main
from worldmodel.pipeline import WorldModelPipeline

TRAINING = {
    "command": "worldmodel train out=runs/x",
    "seed": 3,
    "dataset": {"id": "push-v0", "episodes": 1300, "frames": 157300, "fingerprint": "ab12"},
    "hardware": {"processor": "P", "cores": 2, "memory_gb": 24.0, "gpus": []},
    "stages": {
        "dynamics": {
            "trainable_parameters": 1738000,
            "steps": 4700,
            "seconds": 3000.0,
            "settings": {"batch_size": 16},
            "device": "cpu",
            "precision": "float32",
        }
    },
}


@pytest.fixture
def checkpoint(tiny_pipeline: WorldModelPipeline, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    tiny_pipeline.save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps(TRAINING))
    write_manifest(folder, str(json.loads((folder / "manifest.json").read_text())["kind"]))
    return folder


def figures(folder: Path, **values: float) -> Path:
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(values))
    return folder


def test_a_card_shows_the_measured_figures_beside_their_targets(
    checkpoint: Path, tmp_path: Path
) -> None:
    gap = figures(tmp_path / "gap", psnr_1=29.87)
    recipe = figures(tmp_path / "next_frame", psnr_1=24.5)
    main([str(checkpoint), "--gap", str(gap), "--recipes", str(recipe)])
    card = (checkpoint / "README.md").read_text()
    assert "| `psnr_1` | 29.87 | ≥ 30 |" in card
    assert "| next_frame | 24.5 |" in card
    assert "worldmodel train out=runs/x" in card
    assert "50.0" in card
    assert "| `psnr_16` | – |" in card


def test_the_checkpoint_is_still_whole_with_its_card(checkpoint: Path, tmp_path: Path) -> None:
    gap = figures(tmp_path / "gap", psnr_1=29.87)
    main([str(checkpoint), "--gap", str(gap)])
    assert {"README.md", "scores/gap.json"} <= set(verify(checkpoint)["files"])
    WorldModelPipeline.from_pretrained(checkpoint)


def test_a_run_without_figures_is_refused_by_name(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing/metrics\.json"):
        main([str(checkpoint), "--gap", str(tmp_path / "nothing")])
