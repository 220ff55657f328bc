"""What ships of a codec, and that its card's figures come from files."""

import json

import pytest
import torch

from multimodal.errors import CheckpointError
from tests.multimodal.audio.codecs import gliding_tones, small_codec
from worldmodel.checkpoint import verify, write_manifest
from worldmodel.codec import load_codec
from worldmodel.codec_card import main

TRAINING = {
    "command": "worldmodel train objective=codec",
    "seed": 0,
    "config": {"size": {"budget": {"codec": {"hops": 60}}}},
    "dataset": {
        "id": "speech-v0",
        "fingerprint": "abc",
        "sentences": 12,
        "minutes": 1.5,
        "voices": {"espeak-ng": 3},
        "held_out": {"flite": 2},
    },
    "hardware": {"processor": "a CPU", "cores": 1, "memory_gb": 2.0},
    "stages": {
        "codec": {
            "trainable_parameters": 1234,
            "steps": 7,
            "seconds": 90.0,
            "device": "cpu",
            "precision": "bfloat16",
            "settings": {"batch_size": 12},
        }
    },
}
INTERVAL = {"value": 6.25, "low": 6.0, "high": 6.5, "count": 9}


@pytest.fixture
def run_folder(tmp_path):
    model = tmp_path / "run" / "codec" / "model"
    model.mkdir(parents=True)
    small_codec().save_pretrained(model)
    write_manifest(model, "codec")
    (tmp_path / "run" / "training.json").write_text(json.dumps(TRAINING))
    return tmp_path / "run"


@pytest.fixture
def evaluation(tmp_path):
    folder = tmp_path / "evaluation"
    folder.mkdir()
    figures = {"codec_si_sdr_db": 6.25, "codec_codebook_use": 0.875}
    (folder / "metrics.json").write_text(json.dumps(figures))
    point = {"levels": 1, "bitrate_bps": 750, "si_sdr_db": INTERVAL, "mel_db": INTERVAL}
    report = {
        "curve": [point],
        "codebooks": {"used": [0.9]},
        "opus": [{"bitrate_bps": 6000, "si_sdr_db": 0.5, "mel_db": 7.0}],
        "other_sounds": {"chirp_si_sdr_db": 3.0},
    }
    (folder / "codec.json").write_text(json.dumps(report))
    for picture in ("curve.png", "spectrograms.png"):
        (folder / picture).write_bytes(b"png")
    return folder


def test_what_is_packed_is_half_as_large_and_sounds_the_same(run_folder, tmp_path):
    assert main([str(run_folder), str(tmp_path / "packed")]) == 0
    name = "diffusion_pytorch_model.safetensors"
    before = (run_folder / "codec" / "model" / name).stat().st_size
    assert (tmp_path / "packed" / name).stat().st_size < 0.6 * before
    packed, audio = load_codec(tmp_path / "packed"), gliding_tones(1)
    assert packed.dtype == torch.float32
    with torch.no_grad():
        latents = small_codec().encode(audio)
        error = (packed.decode(latents) - small_codec().decode(latents)).square().mean()
    assert error < 1e-5 * audio.square().mean()


def test_the_card_quotes_the_files(run_folder, evaluation, tmp_path):
    main([str(run_folder), str(tmp_path / "packed")])
    arguments = [str(run_folder), str(tmp_path / "packed"), "--evaluation", str(evaluation)]
    start = tmp_path / "start"
    start.mkdir()
    before = {"codec_si_sdr_db": 4.5, "codec_mel_db": 9.75}
    (start / "metrics.json").write_text(json.dumps(before))
    arguments += ["--start", str(start)]
    assert main(arguments) == 0
    card = (tmp_path / "packed" / "README.md").read_text()
    assert "| `codec_si_sdr_db` | 6.25 | ≥ 5 |" in card
    assert "| `codec_codebook_use` | 0.875 | ≥ 0.8 |" in card
    assert "7 steps of 9.6 s" in card
    assert "| 1 | 0.75 | 6.25 (6.00 to 6.50)" in card
    assert "| Opus | 6 | 0.50 | 7.00 |" in card
    assert "the first and the fourth are 4.5 and 9.75 dB" in card
    verify(tmp_path / "packed", "codec")


def test_without_an_evaluation_there_is_no_card(run_folder, tmp_path):
    main([str(run_folder), str(tmp_path / "packed")])
    with pytest.raises(CheckpointError, match="Run the command again"):
        main([str(run_folder), str(tmp_path / "packed"), "--evaluation", str(tmp_path)])
