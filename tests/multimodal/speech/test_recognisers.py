"""Other recognisers behind the same protocol: one of the hub's kind, and PocketSphinx."""

import shutil

import pytest
import torch
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from multimodal.audio.engines import Voice, speak
from multimodal.audio.log_mel import RATE_HZ
from multimodal.errors import AudioError, CheckpointError, MissingExtraError
from multimodal.speech import Recogniser, load_recogniser, microphone_chunks
from multimodal.speech.language import parse_command

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="apt-get install flite")


@pytest.fixture(scope="module")
def tiny_whisper(tmp_path_factory):
    """A Whisper of random weights with a byte vocabulary, saved as the hub would have it."""
    folder = tmp_path_factory.mktemp("whisper")
    specials = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
    letters = [chr(code) for code in range(33, 127)] + ["Ġ"]
    vocabulary = {token: number for number, token in enumerate([*letters, *specials])}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=[], unk_token="<|endoftext|>")
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=len(vocabulary), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, max_target_positions=128, pad_token_id=95, bos_token_id=95,
        eos_token_id=95, decoder_start_token_id=96, suppress_tokens=None,
        begin_suppress_tokens=None,
    )  # fmt: skip
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_a_whisper_from_a_folder_transcribes(tiny_whisper):
    recogniser = load_recogniser(tiny_whisper)
    assert isinstance(recogniser, Recogniser)
    transcript = recogniser.transcribe(torch.randn(RATE_HZ) * 0.1, RATE_HZ)
    assert transcript.took_s > 0
    assert 0 < transcript.confidence <= 1
    assert transcript.text == transcript.text.lower()


def test_a_whisper_hears_nothing_in_silence(tiny_whisper):
    assert load_recogniser(tiny_whisper).transcribe(torch.zeros(RATE_HZ), RATE_HZ).text == ""


def test_a_whisper_refuses_more_than_its_window(tiny_whisper):
    with pytest.raises(AudioError, match="30 s"):
        load_recogniser(tiny_whisper).transcribe(torch.zeros(31 * RATE_HZ), RATE_HZ)


def test_a_folder_without_a_model_is_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=tmp_path.name):
        load_recogniser(tmp_path)


@needs_flite
def test_pocketsphinx_keeps_to_the_grammar():
    pytest.importorskip("pocketsphinx", reason="pip install worldmodel[sphinx]")
    recogniser = load_recogniser("sphinx")
    sound, rate_hz = speak("push the red cube to the green target", Voice("flite", "slt"))
    transcript = recogniser.transcribe(sound, rate_hz)
    assert parse_command(transcript.text)[0].zone == "green"
    assert recogniser.transcribe(torch.zeros(RATE_HZ), RATE_HZ).text == ""


def test_without_a_microphone_the_reason_is_said():
    with pytest.raises((AudioError, MissingExtraError), match="audio=FILE"):
        next(microphone_chunks(seconds=0.1, device="there is no such microphone"))
