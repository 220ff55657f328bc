"""Replies are said where there is an engine, and written where there is none."""

import shutil

import pytest
import soundfile

from multimodal.audio.engines import Voice
from multimodal.errors import AudioError
from multimodal.speech import Mouth

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="apt-get install espeak-ng"
)


@needs_espeak
def test_a_reply_is_said_and_written_to_a_file(tmp_path):
    reply = Mouth().say("Which cube, the red one or the blue one?")
    assert reply.waveform is not None
    assert float(reply.waveform.abs().max()) > 0.05
    path = reply.write(tmp_path / "reply.wav")
    assert soundfile.info(path).duration > 1


def test_without_an_engine_the_reply_is_text_and_says_why(monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    reply = Mouth().say("done")
    assert (reply.text, reply.waveform) == ("done", None)
    assert reply.write(tmp_path / "reply.wav") is None
    assert "apt-get install espeak-ng" in caplog.text


@needs_espeak
def test_a_reply_without_a_word_is_silent_and_an_unknown_voice_is_refused():
    assert Mouth().say("…").waveform is None
    with pytest.raises(AudioError, match="nobody"):
        Mouth(Voice("espeak-ng", "nobody")).say("hello")
