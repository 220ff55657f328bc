"""The network is Whisper's, whatever the length of its window."""

import numpy as np
import pytest
import torch

from multimodal.audio.log_mel import RATE_HZ, log_mel
from multimodal.errors import AudioError
from multimodal.speech.model import (
    BLANK,
    LONGEST_WINDOW_S,
    STEP,
    SpeechModel,
    letter_ids,
    speech_config,
)
from multimodal.speech.own import OwnRecogniser
from multimodal.speech.spotter import Hearing, Spotter, SpotterModel, spotter_power


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return SpeechModel(speech_config(width=32, layers=2, near=3, heads=2, hidden=48)).eval()


@torch.no_grad()
def test_a_whole_window_is_encoded_as_transformers_encodes_it():
    plain = SpeechModel(speech_config(width=32, layers=2, near=0, heads=2, hidden=48)).eval()
    features = 0.1 * torch.randn(1, 80, round(LONGEST_WINDOW_S * 100))
    levelled = 4 * (features - features.mean(2, keepdim=True))
    stacked = levelled.unflatten(2, (-1, 2)).transpose(2, 3).flatten(1, 2)
    whole = plain.model.encoder(stacked).last_hidden_state
    assert torch.allclose(plain.encode(features), whole, atol=1e-4)


@torch.no_grad()
def test_loudness_and_the_colour_of_a_microphone_change_nothing(model):
    features = 0.1 * torch.randn(1, 80, 80)
    coloured = features + torch.linspace(-0.3, 0.3, 80)[None, :, None]
    assert torch.allclose(model.encode(features), model.encode(features + 0.5), atol=1e-4)
    assert torch.allclose(model.encode(features), model.encode(coloured), atol=1e-4)


@torch.no_grad()
def test_a_short_sound_has_a_position_for_each_step(model):
    features = log_mel(torch.randn(2, 20 * STEP) * 0.1, window_s=None)
    hidden = model.encode(features)
    assert hidden.shape == (2, 20, 32)
    assert model.frame_logits(hidden).shape == (2, 20, 27)


def test_targets_begin_with_the_start_and_end_with_the_end(model):
    read, write = model.targets(["stop", "push the red cube"])
    assert read.shape == write.shape == (2, 5)
    assert read[0, 1] == write[0, 0]
    assert (write[0, 2:] == -100).all()


@torch.no_grad()
def test_it_comes_back_from_disk_as_it_was(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = SpeechModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    features = torch.randn(1, 80, 40)
    assert torch.equal(model.frame_logits(model.encode(features)),
                       again.frame_logits(again.encode(features)))  # fmt: skip


@pytest.fixture(scope="module")
def recogniser(model):
    return OwnRecogniser(model)


def test_silence_is_nothing(recogniser):
    transcript = recogniser.transcribe(torch.zeros(RATE_HZ), RATE_HZ)
    assert (transcript.text, transcript.confidence, transcript.heard) == ("", 0.0, "")


@pytest.mark.parametrize(
    ("sound", "rate_hz", "words"),
    [
        (np.full(16_000, np.nan, np.float32), RATE_HZ, "NaN"),
        (np.zeros((2, 16_000), np.float32), RATE_HZ, "one channel"),
        (np.zeros(0, np.float32), RATE_HZ, "empty"),
        (np.zeros(16_000, np.float32), 0, "Hz"),
        (np.zeros(16_000, np.float32), 16_000.0, "Hz"),
        (np.zeros(13 * 16_000, np.float32), RATE_HZ, "12 s"),
        (np.full(16_000, 9_000.0, np.float32), RATE_HZ, "32768"),
    ],
)
def test_sound_that_cannot_be_heard_is_refused_with_the_reason(recogniser, sound, rate_hz, words):
    with pytest.raises(AudioError, match=words):
        recogniser.transcribe(sound, rate_hz)


@torch.no_grad()
def test_long_murmur_that_leaves_every_letter_open_is_no_word(recogniser, model):
    # Blank is likely in each of ten seconds' frames, every letter possible; one frame sounds.
    hidden = torch.zeros(1, 250, model.config.d_model)
    logits = torch.zeros_like(model.frame_logits(hidden)[0])
    logits[:, BLANK] = 3.0
    logits[100, letter_ids("s")] = 4.0
    text, confidence, heard = recogniser._understand(hidden, logits.log_softmax(-1))
    assert (text, heard) == ("", "s")
    assert confidence < recogniser.accept / 2


def test_any_rate_is_heard(recogniser):
    for rate_hz in (8_000, 22_050, 44_100, 48_000):
        sound = torch.randn(rate_hz) * 0.1
        assert 0 <= recogniser.transcribe(sound, rate_hz).confidence <= 1


@torch.no_grad()
def test_the_spotter_judges_a_stream_as_it_judges_the_whole():
    torch.manual_seed(0)
    network = SpotterModel(width=16).eval()
    sound = torch.randn(60 * 512) * 0.1
    features = torch.from_numpy(Hearing()(spotter_power(sound.numpy())))
    whole = network(features[None]).sigmoid()[0]
    spotter = Spotter(network)
    pieces = [spotter.push(piece) for piece in sound.split(512)]
    assert pieces == pytest.approx(whole.tolist(), abs=1e-5)
    spotter.reset()
    assert spotter.push(sound[:512]) == pytest.approx(pieces[0], abs=1e-6)


def test_the_spotter_hears_nothing_of_the_future():
    torch.manual_seed(0)
    network = SpotterModel(width=16).eval()
    features = torch.randn(1, 60, 80)
    other = features.clone()
    other[:, 40:] += 1
    assert torch.equal(network(features)[:, :40], network(other)[:, :40])
