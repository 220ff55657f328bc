"""What is done to bands is what would have been done to the sound."""

import numpy as np
import pytest

from multimodal.audio.log_mel import RATE_HZ, log_mel
from multimodal.speech.bands import (
    as_features,
    echoed,
    in_noise,
    power,
    resaid,
    together,
    volume,
)
from multimodal.speech.disturb import add_noise, coloured_noise


@pytest.fixture(scope="module")
def speech():
    rng = np.random.default_rng(0)
    loud = np.repeat(rng.uniform(0, 1, 20), RATE_HZ // 10)
    return (0.1 * coloured_noise(rng, 2 * RATE_HZ, 0.6) * loud).astype(np.float32)


def test_features_of_bands_are_whispers(speech):
    assert np.allclose(as_features(power(speech)), log_mel(speech[None], window_s=None)[0],
                       atol=1e-5)  # fmt: skip


@pytest.mark.parametrize("ratio_db", [20, 5, 0])
def test_noise_on_bands_is_noise_on_sound(speech, ratio_db):
    noise = coloured_noise(np.random.default_rng(1), len(speech))
    bands = power(noise)
    rng = np.random.default_rng(2)
    mixed = in_noise(rng, power(speech), bands / bands[:, -1].mean(), ratio_db)
    truth = power(add_noise(speech, noise, ratio_db))
    assert 10 * np.log10(mixed.mean(0) / truth.mean(0)) == pytest.approx(0, abs=1.0)


def test_phases_make_bands_waver_as_much_as_they_do_in_sound():
    one, other = (coloured_noise(np.random.default_rng(seed), 8 * RATE_HZ) for seed in (3, 4))
    apart = [power(one), power(other)]
    made = together(np.random.default_rng(5), *apart)
    truth = power(one + other)
    assert (made > 0).all()

    def wavers(bands):
        return np.log10(bands / (apart[0] + apart[1]))[:, :80].std(0)

    for band in (slice(0, 20), slice(30, 50), slice(60, 80)):
        assert wavers(made)[band].mean() == pytest.approx(wavers(truth)[band].mean(), rel=0.25)


def test_an_echo_outlasts_the_sound_and_fades():
    bands = np.zeros((200, 4), np.float32)
    bands[20:30] = 1
    heard = echoed(np.random.default_rng(0), bands)
    assert (heard[:20] == 0).all()
    assert (heard[31] > 0).all()
    assert (np.diff(heard[31:, 0]) <= 0).all()


def test_what_is_said_otherwise_is_as_loud_and_about_as_long(speech):
    bands = power(speech)
    made = [resaid(np.random.default_rng(seed), bands) for seed in range(8)]
    lengths = {len(each) for each in made}
    assert len(lengths) > 4
    assert 0.7 * len(bands) < min(lengths) <= max(lengths) < 1.4 * len(bands)
    for each in made:
        assert each.dtype == np.float32
        assert (each >= 0).all()
        assert 10 * np.log10(volume(each) / volume(bands)) == pytest.approx(0, abs=3)
