"""A stream becomes events: the beginning, words so far, the end, stop, and nothing for nothing."""

import shutil

import numpy as np
import pytest
import torch

from multimodal.audio.engines import Voice, speak
from multimodal.audio.log_mel import RATE_HZ
from multimodal.audio.waveform import resample, write_wav
from multimodal.errors import AudioError
from multimodal.speech import (
    Final,
    Listener,
    ListenerTiming,
    Partial,
    SpeechStarted,
    StopWord,
    file_chunks,
    parse_command,
)
from multimodal.speech.disturb import add_noise, babble
from worldmodel.ears import load_ears

pytestmark = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="apt-get install espeak-ng"
)
COMMAND = "push the red cube to the green target"


@pytest.fixture(scope="module")
def ears():
    return load_ears()


def spoken(text, before_s=0.5, after_s=1.2, rate_hz=RATE_HZ):
    sound, found_hz = speak(text, Voice("espeak-ng", "en-us+m3"))
    pause = [torch.zeros(round(seconds * rate_hz)) for seconds in (before_s, after_s)]
    return torch.cat([pause[0], 0.5 * resample(sound, found_hz, rate_hz), pause[1]])


def events_of(listener, sound, size=800):
    events = [event for piece in sound.split(size) for event in listener.feed(piece)]
    return events + listener.finish()


def test_a_command_starts_is_heard_in_part_and_ends(ears):
    events = events_of(Listener(ears.recogniser, ears.spotter), spoken(COMMAND))
    assert isinstance(events[0], SpeechStarted)
    assert events[0].at_s == pytest.approx(0.5, abs=0.2)
    assert any(isinstance(event, Partial) for event in events)
    final = events[-1]
    assert isinstance(final, Final)
    assert parse_command(final.text) == parse_command(COMMAND)
    assert final.start_s < final.end_s < final.at_s
    assert not any(isinstance(event, StopWord) for event in events)


def test_a_whole_command_ends_sooner_than_an_open_one(ears):
    timing = ListenerTiming(complete_pause_s=0.16, open_pause_s=0.8)
    whole, begun = (
        events_of(Listener(ears.recogniser, timing=timing), spoken(text))[-1]
        for text in (COMMAND, "push the red cube")
    )
    assert whole.at_s - whole.end_s < 0.3 < 0.7 < begun.at_s - begun.end_s


def test_the_size_of_the_pieces_does_not_matter(ears):
    sound = spoken(COMMAND)
    small, large = (events_of(Listener(ears.recogniser), sound, size)[-1] for size in (160, 16_000))
    assert (small.text, small.at_s) == (large.text, large.at_s)


def test_stop_is_reported_before_the_utterance_ends(ears):
    events = events_of(Listener(ears.recogniser, ears.spotter), spoken("stop"))
    kinds = [type(event) for event in events]
    assert StopWord in kinds
    assert Final not in kinds or kinds.index(StopWord) < kinds.index(Final)


def test_silence_and_noise_give_no_words(ears):
    rng = torch.Generator().manual_seed(0)
    for sound in (torch.zeros(3 * RATE_HZ), 0.05 * torch.randn(3 * RATE_HZ, generator=rng)):
        events = events_of(Listener(ears.recogniser, ears.spotter), sound)
        assert not any(isinstance(event, Final) and event.text for event in events)
        assert not any(isinstance(event, StopWord) for event in events)


def test_another_rate_is_resampled(ears):
    listener = Listener(ears.recogniser, rate_hz=44_100)
    final = events_of(listener, spoken(COMMAND, rate_hz=44_100))[-1]
    assert parse_command(final.text) == parse_command(COMMAND)


def test_a_bad_piece_is_refused_and_the_stream_goes_on(ears):
    listener = Listener(ears.recogniser)
    sound = spoken(COMMAND)
    events = listener.feed(sound[:16_000])
    with pytest.raises(AudioError, match="NaN"):
        listener.feed(np.full(160, np.nan, np.float32))
    events += events_of(listener, sound[16_000:])
    assert parse_command(events[-1].text) == parse_command(COMMAND)


def test_a_file_comes_in_pieces_and_a_long_one_is_refused(tmp_path):
    path = write_wav(tmp_path / "command.wav", torch.zeros(RATE_HZ), RATE_HZ)
    assert sum(len(piece) for piece in file_chunks(path)) == RATE_HZ
    hours = write_wav(tmp_path / "hours.wav", torch.zeros(2 * 3600 * 4_000), 4_000)
    with pytest.raises(AudioError, match="7,200 s and at most 600 s"):
        next(file_chunks(hours))


def test_a_file_that_is_no_sound_is_refused(tmp_path):
    path = tmp_path / "command.wav"
    path.write_text("push the red cube")
    with pytest.raises(AudioError, match="cannot be read as sound"):
        next(file_chunks(path))
    with pytest.raises(AudioError, match="no sound file"):
        next(file_chunks(tmp_path / "missing.wav"))


@pytest.fixture(scope="module")
def crowd():
    """Others who talk to each other: three voices, each a sentence."""
    said = (
        ("en-gb+f2", "bring the yellow ball over to the top wall"),
        ("en-us+m7", "the little dog runs home over the hill and sleeps"),
        ("en-029+m1", "slide the orange triangle into the purple zone"),
    )
    voices = []
    for voice, text in said:
        sound, found_hz = speak(text, Voice("espeak-ng", voice))
        voices.append(resample(sound, found_hz, RATE_HZ).numpy())
    return voices


@pytest.mark.parametrize("seed", [2, 4])
def test_ten_seconds_of_people_talking_are_no_word(ears, crowd, seed):
    murmur = babble(np.random.default_rng(seed), crowd, 10 * RATE_HZ) * np.float32(0.05)
    finals = finals_of(Listener(ears.recogniser), torch.from_numpy(murmur))
    assert [final.text for final in finals if final.text] == []


def test_what_others_say_after_a_command_does_not_become_a_word_of_it(ears, crowd):
    sound = spoken(COMMAND).numpy()
    murmur = babble(np.random.default_rng(1), crowd, len(sound))
    finals = finals_of(Listener(ears.recogniser), torch.from_numpy(add_noise(sound, murmur, 20)))
    (text,) = [final.text for final in finals if final.text]
    assert parse_command(text) == parse_command(COMMAND)


def finals_of(listener, sound):
    return [event for event in events_of(listener, sound) if isinstance(event, Final)]
