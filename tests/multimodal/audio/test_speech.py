"""Speech made offline: engines, voices held out, the corpus on disk, crops of it."""

import json
import shutil
from itertools import islice

import numpy as np
import pytest
import torch

from multimodal.audio import engines
from multimodal.audio.crops import SpeechCrops
from multimodal.audio.engines import Voice, available, speak, speak_many
from multimodal.audio.sentences import sentences
from multimodal.audio.sounds import KINDS, synthetic_sound
from multimodal.audio.speech import RATE_HZ, VOICES, SpeechCorpus, record_speech
from multimodal.errors import AudioError, ConfigError, DatasetError, MissingProgramError

EACH = {"train": 4, "validation": 1, "test": 1}
needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="apt-get install espeak-ng"
)
needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="apt-get install flite")


@needs_espeak
def test_faster_speech_is_shorter():
    voice = Voice("espeak-ng", "en-us+f2")
    slow, rate_hz = speak("push the red cube", voice, speed=0.8)
    fast, _ = speak("push the red cube", voice, speed=1.3)
    assert 0.5 * rate_hz < len(fast) < 0.8 * len(slow)
    assert slow.abs().max() > 0.1


@pytest.mark.skipif(not available("pico"), reason="pip install 'worldmodel[pico]'")
def test_pico_says_one_text_as_it_says_many():
    voice, texts = Voice("pico", "en-GB"), ["push the red cube", "stop"]
    alone, rate_hz = speak(texts[0], voice, 0.9, 60)
    many = list(speak_many(texts, voice, [0.9, 1.0], [60, 50]))
    assert rate_hz == many[0][1] == 16_000
    assert torch.equal(alone, many[0][0])
    assert 0.05 < float(many[1][0].abs().max()) < 1
    with pytest.raises(AudioError, match="xx-XX"):
        speak("push the red cube", Voice("pico", "xx-XX"))


@pytest.mark.skipif(
    not available("rhvoice", "bdl"), reason="apt-get install rhvoice rhvoice-english (non-free)"
)
def test_rhvoice_speaks_faster_and_refuses_a_voice_it_would_silently_replace():
    voice = Voice("rhvoice", "bdl")
    slow, rate_hz = speak("push the red cube", voice, speed=0.8)
    fast, _ = speak("push the red cube", voice, speed=1.3)
    assert 0.5 * rate_hz < len(fast) < 0.8 * len(slow)
    assert not torch.equal(*(speak("push", voice, pitch=pitch)[0][:4000] for pitch in (20, 80)))
    assert not available("rhvoice", "nobody")
    with pytest.raises(AudioError, match="rhvoice has no voice 'nobody'"):
        speak("hello", Voice("rhvoice", "nobody"))


@needs_espeak
def test_an_unknown_voice_is_refused():
    with pytest.raises(AudioError, match="nobody"):
        speak("hello", Voice("espeak-ng", "nobody"))


@needs_flite
def test_flite_refuses_a_voice_it_would_silently_replace():
    with pytest.raises(AudioError, match="flite has no voice 'nobody'"):
        speak("hello", Voice("flite", "nobody"))


@needs_espeak
def test_a_text_that_looks_like_an_option_is_spoken():
    audio, rate_hz = speak("--version; rm -rf cubes", Voice("espeak-ng", "en-us"))
    assert len(audio) > rate_hz


@pytest.mark.parametrize("text", ["", "  \n", "?!"])
def test_nothing_to_say_is_refused(text):
    with pytest.raises(AudioError, match="nothing to say"):
        speak(text, Voice("espeak-ng", "en-us"))


def test_a_missing_engine_names_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert not available("espeak-ng")
    with pytest.raises(MissingProgramError, match="apt-get install espeak-ng"):
        speak("hello", Voice("espeak-ng", "en-us"))
    with pytest.raises(MissingProgramError, match="apt-get install espeak-ng"):
        record_speech("speech", {"train": 1})


def test_an_unknown_engine_is_refused():
    with pytest.raises(AudioError, match="expected one of"):
        available("siri")


def test_no_accent_timbre_or_speaker_of_the_test_is_heard_in_training():
    def parts(split):
        return {part for voice in VOICES[split] for part in voice.name.split("+")}

    assert not parts("train") & parts("test")
    assert not parts("train") & parts("validation")
    assert not {voice.engine for voice in VOICES["train"]} & {"flite"}


def test_sentences_are_the_same_for_the_same_seed_and_never_end():
    first = list(islice(sentences(3), 200))
    assert first == list(islice(sentences(3), 200))
    assert first != list(islice(sentences(4), 200))
    assert all("{" not in each and 1 <= len(each.split()) <= 16 for each in first)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    if shutil.which("espeak-ng") is None:
        pytest.skip("apt-get install espeak-ng")
    few = {split: voices[:2] for split, voices in VOICES.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("multimodal.audio.speech.VOICES", few)
        return record_speech(tmp_path_factory.mktemp("data") / "speech", EACH)


@needs_espeak
def test_the_corpus_says_what_is_said_by_whom(corpus):
    assert {each.split for each in corpus.utterances} == {"train", "validation", "test"}
    assert len(corpus.of("train")) == 8
    for each in corpus.utterances:
        assert len(corpus.read(each)) == each.samples > RATE_HZ // 4
    assert SpeechCorpus.open(corpus.folder) == corpus


@needs_espeak
def test_a_recording_that_was_cut_short_goes_on_to_the_same_corpus(corpus, tmp_path, monkeypatch):
    few = {split: voices[:2] for split, voices in VOICES.items()}
    monkeypatch.setattr("multimodal.audio.speech.VOICES", few)
    shutil.copytree(corpus.folder, tmp_path / "speech")
    (tmp_path / "speech" / "index.json").unlink()
    (tmp_path / "speech" / corpus.utterances[3].file).unlink()
    again = record_speech(tmp_path / "speech", EACH)
    assert again.utterances == corpus.utterances
    lost = corpus.utterances[3]
    assert np.array_equal(again.read(lost), corpus.read(lost))


@needs_espeak
def test_another_corpus_in_the_folder_is_not_mistaken_for_this_one(corpus):
    with pytest.raises(ConfigError, match="another corpus"):
        record_speech(corpus.folder, EACH, seed=1)
    with pytest.raises(ConfigError, match="another corpus"):
        record_speech(corpus.folder, {**EACH, "test": 2})
    with pytest.raises(ConfigError, match="no split"):
        record_speech(corpus.folder, {"exam": 1})


@needs_espeak
def test_a_damaged_or_missing_corpus_is_named(corpus, tmp_path):
    with pytest.raises(DatasetError, match="no speech in"):
        SpeechCorpus.open(tmp_path)
    shutil.copytree(corpus.folder, tmp_path / "speech")
    (tmp_path / "speech" / corpus.utterances[0].file).write_text("torn")
    damaged = SpeechCorpus.open(tmp_path / "speech")
    with pytest.raises(DatasetError, match="record it anew"):
        damaged.read(damaged.utterances[0])
    index = json.loads((tmp_path / "speech" / "index.json").read_text())
    (tmp_path / "speech" / "index.json").write_text(json.dumps(index)[:-40])
    with pytest.raises(DatasetError, match="damaged"):
        SpeechCorpus.open(tmp_path / "speech")


@needs_espeak
@pytest.mark.parametrize("varied", [False, True])
def test_a_crop_depends_on_its_number_alone(corpus, varied):
    crops = SpeechCrops(corpus, "train", 6400, seed=0, count=40, varied=varied)
    again = SpeechCrops(corpus, "train", 6400, seed=0, count=40, varied=varied)
    for number in (17, 3, 39):
        audio = crops[number]["audio"]
        assert audio.shape == (6400,)
        assert audio.isfinite().all()
        assert audio.abs().max() <= 1.0
        assert np.array_equal(audio, again[number]["audio"])
    assert not np.array_equal(crops[1]["audio"], crops[2]["audio"])
    with pytest.raises(IndexError):
        crops[40]


@needs_espeak
def test_an_utterance_shorter_than_a_crop_ends_in_silence(corpus):
    crops = SpeechCrops(corpus, "validation", 20 * RATE_HZ, seed=0, count=1)
    audio = crops[0]["audio"]
    assert audio.abs().max() > 0.1
    assert audio[-RATE_HZ:].abs().max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_other_sounds_are_finite_and_of_full_level(kind):
    sound = synthetic_sound(np.random.default_rng(0), 4800, RATE_HZ, kind)
    assert sound.shape == (4800,)
    assert sound.dtype == np.float32
    assert np.abs(sound).max() == pytest.approx(0.0 if kind == "silence" else 1.0, abs=1e-6)


def test_every_engine_says_what_to_install():
    for engine in engines.ENGINES.values():
        program, *words = engine.install.split()
        assert program in ("apt-get", "pip")
        assert words[0] == "install"
        assert len(words) > 1
