"""`worldmodel evaluate model=codec`, and the codec that ships."""

import json
import shutil

import numpy as np
import pytest
import torch

from multimodal.audio.speech import VOICES, SpeechCorpus
from multimodal.audio.waveform import write_wav
from multimodal.errors import CheckpointError, DatasetError
from tests.multimodal.audio.codecs import gliding_tones, small_codec
from worldmodel.checkpoint import write_manifest
from worldmodel.cli import composed, main
from worldmodel.codec import load_codec
from worldmodel.evaluation.codec_measures import codebook_use, measure
from worldmodel.evaluation.run import run

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="apt-get install espeak-ng"
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec")
    small_codec().save_pretrained(folder)
    write_manifest(folder, "codec")
    return folder


@pytest.fixture(scope="module")
def report(saved, tmp_path_factory):
    if shutil.which("espeak-ng") is None:
        pytest.skip("apt-get install espeak-ng")
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "mine").mkdir()
    write_wav(folder / "mine" / "voice.wav", gliding_tones(1, 0.5)[0], 24_000)
    words = ["model=codec", f"checkpoint={saved}", f"out={folder / 'run'}", "sentences=1"]
    words += [f"speech={folder / 'speech'}", f"recordings={folder / 'mine'}", "resamples=50"]
    with pytest.MonkeyPatch.context() as patch:
        voices = {"train": (), "validation": (), "test": VOICES["test"][:2]}
        patch.setattr("multimodal.audio.speech.VOICES", voices)
        assert run(composed("evaluate", words)) == 0
        heard = SpeechCorpus.open(folder / "speech").of("test")
    assert len(heard) == 2
    return folder / "run"


@needs_espeak
def test_the_curve_has_a_point_for_every_number_of_levels(report):
    curve = json.loads((report / "codec.json").read_text())["curve"]
    assert [point["levels"] for point in curve] == [1, 2, 3, 4]
    assert [point["bitrate_bps"] for point in curve] == [300, 600, 900, 1200]
    for point in curve:
        interval = point["si_sdr_db"]
        assert interval["low"] <= interval["value"] <= interval["high"]
        assert interval["count"] == 2


@needs_espeak
def test_the_figures_are_flat_and_streaming_equals_one_piece(report):
    figures = json.loads((report / "metrics.json").read_text())
    assert {"codec_si_sdr_db", "codec_mel_db", "codec_si_sdr_db_recordings"} <= figures.keys()
    assert figures["codec_si_sdr_db"] == figures["codec_si_sdr_db_4"]
    assert 0 < figures["codec_codebook_use"] <= 1
    assert figures["codec_streaming_ids_equal"] == 1
    assert figures["codec_streaming_difference"] < 1e-4
    assert figures["codec_hop_cpu_ms"] > 0


@needs_espeak
def test_the_page_shows_curves_and_lets_one_listen(report):
    page = (report / "index.html").read_text()
    assert page.count("data:audio/wav;base64,") == 2 * 4
    assert page.count("data:image/png;base64,") == 2
    assert "://" not in page
    assert len(list((report / "examples").glob("*.wav"))) == 8


def test_an_unknown_model_is_refused_with_the_nearest_name(capsys):
    assert main(["evaluate", "model=codek"]) == 2
    assert "did you mean 'codec'" in " ".join(capsys.readouterr().err.split())


def test_a_checkpoint_of_another_kind_is_refused(tmp_path):
    small_codec().save_pretrained(tmp_path)
    write_manifest(tmp_path, "pipeline")
    with pytest.raises(CheckpointError, match="'codec' was expected"):
        load_codec(tmp_path)


def test_a_folder_without_sound_is_refused(saved, tmp_path):
    (tmp_path / "mine").mkdir()
    write_wav(tmp_path / "mine" / "silence.wav", torch.zeros(4800), 24_000)
    words = ["model=codec", f"checkpoint={saved}", "recordings=mine", "sentences=1"]
    with pytest.raises(DatasetError, match="no audible sound"):
        run(composed("evaluate", words))


def test_a_sound_is_scored_at_every_number_of_levels():
    codec = small_codec()
    score = measure(codec, gliding_tones(1)[0])
    assert score.ids.shape == (75, 4)
    assert all(np.isfinite(score.si_sdr_db))
    assert min(score.mel_db) > 0


def test_the_use_of_codebooks_counts_entries_and_evenness():
    even = np.stack([np.arange(8), np.zeros(8, np.int64)], 1)
    use = codebook_use([even[:4], even[4:]], 16)
    assert use["used"] == [0.5, 1 / 16]
    assert use["perplexity"] == pytest.approx([8, 1])
    assert use["bits"] == pytest.approx([3, 0])
