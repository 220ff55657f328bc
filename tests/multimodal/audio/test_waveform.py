"""Reading, writing, checking and resampling sound."""

import logging

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal.audio.waveform import audio_tensor, read_audio, resample, write_wav
from multimodal.errors import AudioError


def tone(rate_hz: int, pitch_hz: float = 440.0, seconds: float = 0.5) -> np.ndarray:
    time_s = np.arange(int(rate_hz * seconds)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * pitch_hz * time_s)).astype(np.float32)


def test_a_file_written_is_read_back_to_within_half_a_step_of_16_bits(tmp_path):
    audio = tone(24_000)
    path = write_wav(tmp_path / "tone.wav", audio, 24_000)
    assert np.abs(read_audio(path, 24_000).numpy() - audio).max() < 1 / 16_000


def test_a_file_of_another_rate_comes_out_at_the_rate_asked_for(tmp_path):
    path = write_wav(tmp_path / "tone.wav", tone(16_000), 16_000)
    audio = read_audio(path, 24_000).numpy()
    assert len(audio) == 12_000
    middle = slice(1000, -1000)
    assert np.abs(audio[middle] - tone(24_000)[middle]).max() < 0.01


def test_a_file_of_8_khz_is_resampled_with_a_warning(tmp_path, caplog):
    path = write_wav(tmp_path / "dull.wav", tone(8_000), 8_000)
    with caplog.at_level(logging.WARNING):
        assert len(read_audio(path, 24_000)) == 12_000
    assert "nothing above 4000 Hz" in caplog.text


def test_channels_are_averaged(tmp_path):
    left, right = np.full(100, 0.5, np.float32), np.full(100, -0.1, np.float32)
    soundfile.write(tmp_path / "two.wav", np.stack([left, right], 1), 24_000)
    assert read_audio(tmp_path / "two.wav", 24_000).mean() == pytest.approx(0.2, abs=1e-3)


def test_what_is_not_a_sound_file_is_named(tmp_path):
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(AudioError, match=r"text\.wav cannot be read as sound"):
        read_audio(tmp_path / "text.wav", 24_000)
    with pytest.raises(AudioError, match="no sound file"):
        read_audio(tmp_path / "missing.wav", 24_000)


def test_an_empty_file_is_refused(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 24_000)
    with pytest.raises(AudioError, match="no samples"):
        read_audio(tmp_path / "empty.wav", 24_000)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.array([0.0, np.nan], np.float32), "NaN"),
        (np.array([0.0, np.inf], np.float32), "infinite"),
        (np.zeros(0, np.float32), "empty"),
        (np.zeros((2, 0), np.float32), "empty"),
        (np.float32(0.5), "must have shape"),
        (np.zeros((1, 2, 3), np.float32), "must have shape"),
        (np.zeros((100, 2), np.float32), "channels"),
        (np.zeros(10, np.int64), "int16"),
        (np.array([0.0, 12_000.0], np.float32), "divide"),
        ("hello", "array"),
    ],
)
def test_what_is_wrong_with_audio_is_said(audio, message):
    with pytest.raises(AudioError, match=message):
        audio_tensor(audio)


def test_silence_is_sound():
    assert audio_tensor(np.zeros(10, np.float32)).abs().sum() == 0


def test_clipped_audio_is_accepted_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        audio_tensor(np.clip(4 * tone(24_000), -1, 1))
    assert "clipped" in caplog.text


def test_16_bit_samples_are_scaled():
    assert audio_tensor(np.array([-32768, 16384], np.int16)).tolist() == [-1.0, 0.5]


@pytest.mark.parametrize("rate", [0, -8000, 44_100.0])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(AudioError, match="positive whole number"):
        resample(tone(24_000), rate, 24_000)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5000), st.sampled_from([8000, 11_025, 16_000, 22_050, 44_100, 48_000]))
def test_resampling_gives_the_length_it_promises(samples, rate):
    assert len(resample(torch.zeros(samples), rate, 24_000)) == -(-samples * 24_000 // rate)
