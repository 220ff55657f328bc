"""The audio codec: shapes, causality, levels, its files, and what it refuses."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal.audio.codec import HOP, AudioCodec
from multimodal.errors import AudioError
from tests.multimodal.audio.codecs import gliding_tones, small_codec

CODEC = small_codec()


@torch.no_grad()
def codes(audio: torch.Tensor) -> torch.Tensor:
    return CODEC.quantize(CODEC.encode(audio))


def test_a_second_is_75_groups_of_codes():
    assert CODEC.frame_rate_hz == 75
    assert codes(gliding_tones(2)).shape == (2, 75, 4)


def test_eight_levels_of_1024_codes_are_6_kilobits_a_second():
    codec = AudioCodec()
    assert codec.bitrate_bps() == 6000
    assert codec.bitrate_bps(1) == 750


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 2000))
def test_any_length_becomes_whole_hops(samples):
    ids = codes(torch.zeros(1, samples))
    assert ids.shape[1] == -(-samples // HOP)
    with torch.no_grad():
        assert CODEC.decode(ids).shape == (1, ids.shape[1] * HOP)


@torch.no_grad()
def test_untrained_it_already_follows_the_waveform_of_a_low_voice():
    torch.manual_seed(0)
    codec, audio = AudioCodec(), gliding_tones(4)
    made = codec.decode(codec.encode(audio))
    error = (made - audio).square().mean()
    assert error < 0.05 * audio.square().mean()


@torch.no_grad()
def test_no_code_depends_on_later_sound():
    first, second = gliding_tones(2)[:, : 20 * HOP]
    second[: 10 * HOP] = first[: 10 * HOP]
    latents = CODEC.encode(torch.stack([first, second]))
    torch.testing.assert_close(latents[0, :10], latents[1, :10], atol=0, rtol=0)
    assert not torch.allclose(latents[0, 10], latents[1, 10])


@torch.no_grad()
def test_no_sample_depends_on_later_codes():
    ids = codes(gliding_tones(1))
    changed = ids.clone()
    changed[:, 40:] = (changed[:, 40:] + 1) % 16
    before, after = CODEC.decode(ids), CODEC.decode(changed)
    assert torch.equal(before[:, : 40 * HOP], after[:, : 40 * HOP])
    assert not torch.allclose(before[:, 40 * HOP :], after[:, 40 * HOP :])


@torch.no_grad()
def test_more_levels_come_nearer_to_the_latents():
    latents = CODEC.encode(gliding_tones(4))
    ids = CODEC.quantize(latents)
    errors = [float((CODEC.dequantize(ids, k) - latents).square().mean()) for k in range(1, 5)]
    assert errors == sorted(errors, reverse=True)


@torch.no_grad()
def test_decoding_by_fewer_levels_ignores_the_others():
    ids = codes(gliding_tones(1))
    torch.testing.assert_close(CODEC.decode(ids, 2), CODEC.decode(ids[..., :2]))


@torch.no_grad()
def test_latents_decode_as_their_codes_do():
    ids = codes(gliding_tones(1))
    torch.testing.assert_close(CODEC.decode(CODEC.dequantize(ids)), CODEC.decode(ids))


@torch.no_grad()
def test_a_latent_grows_with_the_square_root_of_the_loudness_and_decoding_undoes_it():
    codec, audio = AudioCodec(), gliding_tones(2)
    loud, quiet = codec.encode(audio), codec.encode(audio / 16)
    audible = loud.square().mean(-1) > 0.02
    torch.testing.assert_close(quiet[audible], loud[audible] / 4, atol=1e-3, rtol=0.02)
    sound = codec.decode_hops(loud)[audible]
    torch.testing.assert_close(codec.decode_hops(loud / 4)[audible], sound / 16, atol=1e-4, rtol=0)


@torch.no_grad()
def test_silence_in_is_finite_out():
    assert torch.isfinite(CODEC.decode(codes(torch.zeros(1, 24_000)))).all()


def test_saved_and_loaded_it_gives_the_same_codes(tmp_path):
    CODEC.save_pretrained(tmp_path)
    again = AudioCodec.from_pretrained(tmp_path, use_safetensors=True)
    audio = gliding_tones(1)
    with torch.no_grad():
        assert torch.equal(again.quantize(again.encode(audio)), codes(audio))
        torch.testing.assert_close(again.decode(codes(audio)), CODEC.decode(codes(audio)))
    assert {name: again.config[name] for name in ("channels", "levels", "codes")} == {
        "channels": 16, "levels": 4, "codes": 16
    }  # fmt: skip
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]


def test_sound_of_another_rate_is_refused_with_what_to_do():
    with pytest.raises(AudioError, match=r"resample\(audio, 8000, 24000\)"):
        CODEC.encode(torch.zeros(1, 8000), rate_hz=8000)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (torch.zeros(24_000), "batch axis"),
        (torch.full((1, 400), torch.nan), "NaN"),
        (torch.zeros(1, 0), "empty"),
        (torch.zeros(1, 1, 400), "must have shape"),
        (torch.zeros(1, 400, dtype=torch.int32), "int16"),
    ],
)
def test_malformed_sound_is_refused(audio, message):
    with pytest.raises(AudioError, match=message):
        CODEC.encode(audio)


def test_clipped_sound_is_coded_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING), torch.no_grad():
        CODEC.encode((20 * gliding_tones(1)).clamp(-1, 1))
    assert "clipped" in caplog.text


def test_16_bit_samples_are_taken():
    samples = (gliding_tones(1) * 32768).to(torch.int16)
    assert codes(samples).shape == (1, 75, 4)
    assert codes(np.asarray(samples)).shape == (1, 75, 4)


@pytest.mark.parametrize(
    ("codes", "levels", "message"),
    [
        (torch.zeros(1, 3, 15), None, r"\(B, T, 16\)"),
        (torch.zeros(3, 16), None, r"\(B, T, 16\)"),
        (torch.zeros(1, 3, 16), 2, "quantize them"),
        (torch.full((1, 3, 4), 16), None, "another codec"),
        (torch.zeros(1, 3, 4, dtype=torch.long), 5, "1 to 4 levels"),
    ],
)
def test_malformed_codes_are_refused(codes, levels, message):
    with pytest.raises(AudioError, match=message):
        CODEC.decode(codes, levels)
