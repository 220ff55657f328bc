"""Noise has the level that is asked for."""

import numpy as np
import pytest

from multimodal.audio.log_mel import RATE_HZ
from multimodal.speech.disturb import add_noise, babble, coloured_noise, level


def speech(seconds=1.0):
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (0.2 * np.sin(2 * np.pi * 200 * time_s)).astype(np.float32)


@pytest.mark.parametrize("ratio_db", [20, 10, 5])
def test_noise_is_added_at_the_ratio_asked_for(ratio_db):
    clean = speech()
    noise = coloured_noise(np.random.default_rng(0), len(clean))
    added = add_noise(clean, noise, ratio_db) - clean
    measured = 20 * np.log10(level(clean) / np.sqrt(np.mean(added**2)))
    assert measured == pytest.approx(ratio_db, abs=0.2)


def test_pauses_do_not_count_as_speech():
    clean = speech()
    padded = np.pad(clean, len(clean) // 2)
    assert level(padded) == pytest.approx(level(clean), rel=0.05)


def test_noise_that_would_clip_makes_everything_quieter():
    mixed = add_noise(4 * speech(), coloured_noise(np.random.default_rng(0), RATE_HZ), 0)
    assert np.abs(mixed).max() <= 1


def test_babble_is_as_loud_as_asked_and_the_same_for_the_same_seed():
    voices = [speech(0.5), speech(0.7)]
    one = babble(np.random.default_rng(1), voices, RATE_HZ)
    assert np.array_equal(one, babble(np.random.default_rng(1), voices, RATE_HZ))
    assert np.sqrt(np.mean(one**2)) == pytest.approx(1, abs=1e-3)
