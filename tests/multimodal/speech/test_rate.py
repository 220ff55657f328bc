"""A stream is brought to 16 kHz as the whole sound would be."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal.audio.waveform import resample
from multimodal.speech.rate import RateConverter


def converted(sound, from_hz, sizes):
    converter = RateConverter(from_hz)
    pieces, start = [], 0
    for size in sizes:
        pieces.append(converter.push(sound[start : start + size]))
        start += size
    pieces += [converter.push(sound[start:]), converter.finish()]
    return torch.cat(pieces)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(4_000, 96_000), st.lists(st.integers(1, 900), max_size=12), st.integers(0, 2**16)
)
def test_where_the_pieces_end_does_not_matter(from_hz, sizes, seed):
    sound = torch.randn(3_000, generator=torch.Generator().manual_seed(seed))
    whole = converted(sound, from_hz, [])
    assert len(whole) == -(-3_000 * 16_000 // from_hz)
    assert torch.allclose(converted(sound, from_hz, sizes), whole, atol=1e-6)


@pytest.mark.parametrize("from_hz", [8_000, 11_025, 22_051, 44_100, 48_000])
def test_a_tone_keeps_its_pitch_and_its_place_for_as_long_as_it_lasts(from_hz):
    seconds = 3
    tone = torch.sin(2 * np.pi * 440 * torch.arange(seconds * from_hz).double() / from_hz).float()
    heard = converted(tone, from_hz, [from_hz // 50] * 40)
    truth = torch.sin(2 * np.pi * 440 * torch.arange(seconds * 16_000).double() / 16_000).float()
    assert len(heard) == len(truth)
    assert torch.allclose(heard[100:-100], truth[100:-100], atol=2e-3)


def test_what_is_too_high_for_the_new_rate_is_silent():
    high = torch.sin(2 * np.pi * 12_000 * torch.arange(48_000) / 48_000)
    assert converted(high, 48_000, [777] * 20)[200:-200].abs().max() < 2e-3


def test_speech_is_as_torchaudio_resamples_it():
    rng = np.random.default_rng(0)
    slow = resample(torch.from_numpy(rng.standard_normal(4_000).astype(np.float32)), 8_000, 44_100)
    one, other = converted(slow, 44_100, [500] * 9), resample(slow, 44_100, 16_000)
    assert torch.allclose(one[100:-100], other[100:-100], atol=0.03)
