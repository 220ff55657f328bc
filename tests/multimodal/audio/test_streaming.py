"""Streaming equals coding in one piece, however the sound is cut."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal.audio.codec import HOP
from multimodal.audio.streaming import StreamDecoder, StreamEncoder
from multimodal.errors import AudioError
from tests.multimodal.audio.codecs import gliding_tones, small_codec

CODEC = small_codec()
AUDIO = gliding_tones(2, seconds=0.5)
with torch.no_grad():
    IDS = CODEC.quantize(CODEC.encode(AUDIO))
    SOUND = CODEC.decode(IDS)


def streamed(audio: torch.Tensor, cuts: list[int]) -> torch.Tensor:
    encoder, at, pieces = StreamEncoder(CODEC), 0, []
    for cut in cuts:
        if at < audio.shape[1]:
            pieces.append(encoder.push(audio[:, at : at + cut]))
            at += cut
    if at < audio.shape[1]:
        pieces.append(encoder.push(audio[:, at:]))
    return torch.cat([*pieces, encoder.finish()], 1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 3000), max_size=12))
def test_the_codes_do_not_depend_on_how_the_sound_arrives(cuts):
    assert torch.equal(streamed(AUDIO, cuts), IDS)


def test_sample_by_sample_is_the_hardest_cut():
    audio = AUDIO[:, : 3 * HOP]
    assert torch.equal(streamed(audio, [1] * (3 * HOP)), IDS[:, :3])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=8))
def test_the_sound_does_not_depend_on_how_the_codes_arrive(cuts):
    decoder, at, pieces = StreamDecoder(CODEC), 0, []
    for cut in [*cuts, IDS.shape[1]]:
        pieces.append(decoder.push(IDS[:, at : at + cut]))
        at = min(at + cut, IDS.shape[1])
    torch.testing.assert_close(torch.cat(pieces, 1), SOUND, atol=1e-5, rtol=0)


def test_each_hop_is_heard_as_soon_as_it_is_complete():
    encoder, decoder = StreamEncoder(CODEC), StreamDecoder(CODEC)
    assert encoder.push(AUDIO[:, : HOP - 1]).shape == (2, 0, 4)
    ids = encoder.push(AUDIO[:, HOP - 1 : HOP])
    assert ids.shape == (2, 1, 4)
    torch.testing.assert_close(decoder.push(ids), SOUND[:, :HOP], atol=1e-5, rtol=0)


def test_a_stream_may_use_fewer_levels():
    with torch.no_grad():
        whole = CODEC.decode(IDS, 2)
    torch.testing.assert_close(StreamDecoder(CODEC, 2).push(IDS), whole, atol=1e-5, rtol=0)


def test_the_last_unfinished_hop_is_filled_with_silence():
    audio = AUDIO[:, : HOP + 7]
    with torch.no_grad():
        whole = CODEC.quantize(CODEC.encode(audio))
    assert torch.equal(streamed(audio, [100]), whole)


def test_a_stream_keeps_its_batch_size():
    encoder = StreamEncoder(CODEC)
    encoder.push(AUDIO)
    with pytest.raises(AudioError, match="new StreamEncoder"):
        encoder.push(AUDIO[:1])


def test_a_stream_without_sound_cannot_be_finished():
    with pytest.raises(AudioError, match="push some sound"):
        StreamEncoder(CODEC).finish()


def test_two_streams_do_not_hear_each_other():
    first, second = StreamEncoder(CODEC), StreamEncoder(CODEC)
    first.push(AUDIO[:1, :4000])
    alone = StreamEncoder(CODEC).push(AUDIO[1:, :4000])
    assert torch.equal(second.push(AUDIO[1:, :4000]), alone)
