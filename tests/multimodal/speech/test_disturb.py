"""Noise has the level that is asked for."""

import numpy as np
import pytest

from multimodal.audio.log_mel import RATE_HZ
from multimodal.speech.disturb import (
    add_noise,
    babble,
    coloured_noise,
    echoed,
    hastened,
    level,
)


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


def test_haste_shortens_lengthens_and_keeps_what_is_heard():
    at = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = np.sin(2 * np.pi * 400 * at).astype(np.float32)
    made = [hastened(np.random.default_rng(seed), tone) for seed in range(30)]
    lengths = np.array([len(each) / len(tone) for each in made])
    assert 0.83 < lengths.min() < 0.95 < 1.05 < lengths.max() < 1.2
    for each in made:
        crossings = np.count_nonzero(np.diff(np.sign(each)))
        # As many waves in less time.
        assert crossings == pytest.approx(1600, rel=0.02)
        assert level(each) == pytest.approx(level(tone), rel=0.03)
    same = hastened(np.random.default_rng(0), tone, 0.0)
    assert np.allclose(same, tone[: len(same)], atol=1e-5)


def test_an_echo_outlasts_the_sound_and_fades():
    clap = np.zeros(RATE_HZ, np.float32)
    clap[2000:2100] = 1
    for seed in range(5):
        heard = echoed(np.random.default_rng(seed), clap)
        assert heard.shape == clap.shape
        assert np.abs(heard[:1990]).max() < 1e-4
        assert np.allclose(heard[2000:2020], 1, atol=1e-3)
        power = np.square(heard[2100:]).reshape(-1, 100).mean(1)
        assert power[:8].sum() > 10 * power[60:68].sum()
