"""Opus as a codec to compare with."""

import pytest
import torch

from tests.multimodal.audio.codecs import gliding_tones
from worldmodel.evaluation.codec_measures import distances
from worldmodel.evaluation.opus import opus_available, through_opus

pytestmark = pytest.mark.skipif(not opus_available(), reason="PyAV without libopus")


def test_the_sound_comes_back_lined_up_with_the_original():
    audio = gliding_tones(1)[0]
    late = torch.cat([torch.zeros(777), audio])
    for sound in (audio, late):
        made = through_opus(sound, 24_000, 64_000)
        assert made.shape == sound.shape
        assert distances(made, sound)[0] > 9


def test_fewer_bits_sound_worse():
    audio = gliding_tones(1)[0]
    few = distances(through_opus(audio, 24_000, 6_000), audio)
    many = distances(through_opus(audio, 24_000, 32_000), audio)
    assert few[0] < many[0]
    assert few[1] > many[1]
