"""The codec that comes with the package."""

import json
import shutil

import numpy as np
import pytest
import torch

from multimodal.audio.codec import HOP, RATE_HZ
from multimodal.audio.engines import speak
from multimodal.audio.sounds import synthetic_sound
from multimodal.audio.speech import VOICES
from multimodal.audio.streaming import StreamDecoder, StreamEncoder
from multimodal.audio.waveform import resample
from worldmodel.checkpoint import shipped, verify
from worldmodel.codec import load_codec
from worldmodel.evaluation.codec_measures import distances, measure

TEXT = "push the purple cylinder to the yellow target, then stop"


@pytest.fixture(scope="module")
def codec():
    return load_codec()


def held_out_speech(engine: str) -> torch.Tensor:
    if shutil.which(engine) is None:
        pytest.skip(f"apt-get install {engine}")
    voice = next(voice for voice in VOICES["test"] if voice.engine == engine)
    audio, rate_hz = speak(TEXT, voice)
    return resample(audio, rate_hz, RATE_HZ)


def test_it_is_small_and_its_card_quotes_its_scores():
    folder = shipped("codec")
    verify(folder, "codec")
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 10e6
    scores = json.loads((folder / "scores" / "evaluate.json").read_text())
    assert scores["codec_si_sdr_db"] >= 5
    assert scores["codec_codebook_use"] >= 0.8
    shown = f"`codec_si_sdr_db` | {scores['codec_si_sdr_db']:.4g} |"
    assert shown in (folder / "README.md").read_text()


@pytest.mark.parametrize("engine", ["espeak-ng", "flite"])
def test_a_voice_it_never_heard_comes_back_at_6_kilobits(codec, engine):
    score = measure(codec, held_out_speech(engine))
    assert codec.bitrate_bps() == 6000
    assert score.si_sdr_db[-1] > 5
    assert score.si_sdr_db[-1] > score.si_sdr_db[3] > score.si_sdr_db[0]
    assert score.mel_db[-1] < score.mel_db[0]


def test_quiet_speech_comes_back_as_well_as_loud_speech(codec):
    audio = held_out_speech("espeak-ng")
    loud, quiet = (measure(codec, level * audio).si_sdr_db[-1] for level in (1.0, 0.1))
    assert quiet > loud - 3


@torch.no_grad()
def test_silence_comes_back_as_silence(codec):
    made = codec.decode(codec.quantize(codec.encode(torch.zeros(1, RATE_HZ))))
    assert made.abs().max() < 1e-3


@torch.no_grad()
def test_hop_by_hop_is_the_same_as_in_one_piece(codec):
    rng = np.random.default_rng(0)
    audio = torch.from_numpy(0.3 * synthetic_sound(rng, 40 * HOP, RATE_HZ, "chirp"))[None]
    ids = codec.quantize(codec.encode(audio))
    encoder, decoder = StreamEncoder(codec), StreamDecoder(codec)
    coded = [encoder.push(hop) for hop in audio.split(HOP, 1)]
    assert torch.equal(torch.cat(coded, 1), ids)
    heard = torch.cat([decoder.push(each) for each in coded], 1)
    torch.testing.assert_close(heard, codec.decode(ids), atol=1e-5, rtol=0)


@torch.no_grad()
def test_telephone_speech_comes_back_once_it_is_brought_to_the_rate(codec):
    dull = resample(resample(held_out_speech("espeak-ng"), RATE_HZ, 8000), 8000, RATE_HZ)
    made = codec.decode(codec.quantize(codec.encode(dull[None])))[0, : len(dull)]
    assert distances(made, dull)[0] > 5
