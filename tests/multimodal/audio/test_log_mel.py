"""Log-mel features against Whisper's own."""

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from multimodal.audio.log_mel import ENCODER_STRIDE, log_mel
from multimodal.errors import AudioError


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """A gliding tone in noise that falls silent at the end."""
    rng = np.random.default_rng(seed)
    samples = int(16_000 * seconds)
    time_s = np.arange(samples) / 16_000
    audio = 0.3 * np.sin(2 * np.pi * (200 + 400 * time_s) * time_s)
    audio += 0.02 * rng.standard_normal(samples)
    audio[int(0.8 * samples) :] = 0
    return audio.astype(np.float32)


@pytest.mark.parametrize("seconds", [0.03, 2.0, 30.0])
def test_the_features_are_those_of_whisper(seconds):
    audio = sound(seconds)
    theirs = WhisperFeatureExtractor()(audio, sampling_rate=16_000, return_tensors="pt")
    ours = log_mel(audio[None])
    assert ours.shape == theirs.input_features.shape == (1, 80, 3000)
    torch.testing.assert_close(ours, theirs.input_features, atol=1e-4, rtol=0)


def test_each_sound_of_a_batch_is_scaled_by_itself():
    loud, quiet = sound(1.0, 1), 1e-3 * sound(1.0, 2)
    together = log_mel(np.stack([loud, quiet]), window_s=1.0)
    torch.testing.assert_close(together[1:], log_mel(quiet[None], window_s=1.0))


def test_whispers_encoder_makes_1500_frames_of_30_seconds():
    config = WhisperConfig(
        d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=16
    )
    features = log_mel(sound(1.0)[None])
    with torch.no_grad():
        encoded = WhisperEncoder(config)(features).last_hidden_state
    assert encoded.shape[1] == 1500 == features.shape[2] // ENCODER_STRIDE


def test_a_shorter_window_gives_100_frames_a_second():
    assert log_mel(sound(1.0)[None], window_s=4.0).shape == (1, 80, 400)
    assert log_mel(sound(1.01)[None], window_s=None).shape == (1, 80, 102)


def test_silence_has_features():
    assert torch.isfinite(log_mel(np.zeros((1, 16_000), np.float32))).all()


def test_another_rate_is_refused_with_what_to_do():
    with pytest.raises(AudioError, match=r"resample\(audio, 8000, 16000\)"):
        log_mel(np.zeros((1, 8000), np.float32), rate_hz=8000)


def test_sound_longer_than_the_window_is_refused():
    with pytest.raises(AudioError, match="cut it into pieces"):
        log_mel(np.zeros((1, 32_000), np.float32), window_s=1.0)


@pytest.mark.parametrize("window_s", [0.0, -1.0, 0.03])
def test_a_window_that_the_encoder_cannot_halve_is_refused(window_s):
    with pytest.raises(AudioError, match="multiple"):
        log_mel(np.zeros((1, 160), np.float32), window_s=window_s)


def test_one_waveform_without_a_batch_axis_is_refused():
    with pytest.raises(AudioError, match="batch axis"):
        log_mel(np.zeros(160, np.float32))
