"""`worldmodel train objective=native`, and what its model then does with every modality."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from envs.push import PushWorld
from multimodal.audio.speech import VOICES, SpeechCorpus
from multimodal.audio.waveform import read_audio
from multimodal.errors import (
    AudioError,
    CheckpointError,
    ConfigError,
    FrameError,
    SequenceError,
    TextError,
)
from multimodal.image_codes import ImageCodes
from multimodal.native import NativeModel, NativeReader
from multimodal.native.writing import write_text
from multimodal.sequence import Modality, Segment, Vocabulary, assemble
from multimodal.trunk import open_trunk
from tests.worldmodel.vlm_recordings import record_scenes, save_text, save_trunk
from worldmodel.checkpoint import verify
from worldmodel.cli import composed
from worldmodel.comparisons.mixture import arms_of, chosen
from worldmodel.evaluation.native import word_errors
from worldmodel.evaluation.run import run as evaluate
from worldmodel.reader_card import pack_reader, write_reader_card
from worldmodel.readers import load_native
from worldmodel.training.run import run

pytestmark = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="apt-get install espeak-ng"
)
SMALL = [
    "objective=native",
    "size=tiny",
    "wandb=disabled",
    "compute=cpu/float32",
    "size.image_codes.width=8",
    "size.native.width=16",
    "size.native.hidden=16",
    "size.native.voices=1",
    *(
        f"size.budget.{s}.{n}"
        for s in ("image_codes", "speech_units", "native")
        for n in ("steps=2", "batch_size=4")
    ),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("native")
    record_scenes(folder / "scenes")
    save_trunk(folder / "trunk")
    save_text(folder / "text")
    words = [f"{name}={folder / name}" for name in ("text", "trunk", "questions")]
    words += [f"data={folder / 'scenes'}", f"out={folder / 'run'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("multimodal.audio.spoken_questions.SPOKEN_FAMILIES", ("count.objects",))
        few = {split: voices[:1] for split, voices in VOICES.items()}
        patch.setattr("multimodal.audio.spoken_questions.VOICES", few)
        assert run(composed("train", [*SMALL, *words])) == 0
    return folder


@pytest.fixture(scope="module")
def native(place):
    folder = place / "run" / "native" / "model"
    verify(folder, "native")
    return NativeReader.from_pretrained(folder, open_trunk(place / "trunk"))


@pytest.fixture(scope="module")
def frame():
    world = PushWorld(objects=1)
    seen, _ = world.reset(seed=3)
    world.close()
    return seen


def test_both_stages_say_what_they_learned(place):
    losses = json.loads((place / "run" / "metrics.json").read_text())
    assert losses["image_codes_steps"] == losses["native_steps"] == 2
    assert np.isfinite([losses["native_text"], losses["native_loss"]]).all()


def test_it_answers_written_and_spoken_questions(native, place, frame):
    corpus = SpeechCorpus.open(place / "questions")
    audio = read_audio(corpus.folder / corpus.of("test")[0].file, 24_000)
    assert isinstance(native.answer(frame, "How many objects are there?"), str)
    assert isinstance(native.answer(frame, audio, 24_000), str)
    assert isinstance(native.transcribe(audio, 24_000), str)


def test_it_draws_frames(native):
    drawn = native.draw(["a red cube", "a blue ball, a green cross"])
    assert drawn.shape == (2, 64, 64, 3)
    assert drawn.dtype == np.uint8
    again = native.draw(["a blue ball, a green cross"])
    # Another code changes pixels by dozens; the decoder's sums may round to the level beside.
    apart = np.abs(drawn[1].astype(int) - again[0].astype(int))
    assert apart.max() <= 1, "a batch changes nothing"
    assert (apart > 0).mean() < 0.001


def test_saved_and_loaded_it_says_the_same(native, place, frame, tmp_path):
    native.save_pretrained(tmp_path)
    again = NativeReader.from_pretrained(tmp_path, native.trunk)
    row = [*native.picture(frame[None]), native.words("What is there?")]
    assert write_text(again.model, [row], 6) == write_text(native.model, [row], 6)
    assert np.array_equal(native.draw(["a ball"]), again.draw(["a ball"]))


def test_the_cache_changes_no_token(native, frame):
    row = [*native.picture(frame[None]), native.words("What is there?")]
    said = write_text(native.model, [row], 5)[0]
    words = native.model.words
    for count in range(len(said)):
        laid = assemble([*row, Segment.text(said[:count])], words)
        # Without the end of the text that is still being said.
        batch = {n: torch.from_numpy(v[None, :-1]) for n, v in laid.items() if n != "learn"}
        with torch.no_grad():
            logits = native.model.logits(native.model.hidden(**batch)[:, -1])[0, : words.text]
        allowed = [k for k in range(words.text) if k not in words.marks or k == words.eos]
        assert allowed[int(logits[allowed].argmax())] == said[count]


def test_what_comes_later_changes_nothing_before(native, frame):
    picture = native.picture(frame[None])[0]
    short = assemble([picture, native.words("a")], native.model.words)
    long = assemble([picture, native.words("a"), picture], native.model.words)
    with torch.no_grad():
        one, two = (
            native.model.hidden(
                **{n: torch.from_numpy(v[None]) for n, v in row.items() if n != "learn"}
            )
            for row in (short, long)
        )
    assert torch.allclose(one[0], two[0, : one.shape[1]], atol=1e-5)


def test_codes_of_the_same_digits_begin_alike():
    words = Vocabulary(9, 0, 1, 2, (3, 4, 5), (6, 7, 8), 0, image=(2, 625), audio=(1, 4))
    sizes = {"width": 32, "hidden": 16, "layers": 1, "bands": 3}
    model = NativeModel(NativeModel.plain(words), digits=(5, 4), **sizes)
    first = words.offset(Modality.IMAGE)
    table = model.table().detach()
    assert table.shape == (words.size, 32)
    for column in (table[first : first + 625], table[first + 625 : first + 1250]):
        # 0 and 1 differ in the first digit alone, 0 and 156 = 1111 in base 5 in all of them.
        near, far = ((column[k:] - column[: len(column) - k]).norm(dim=1) for k in (1, 156))
        assert float(near.mean()) < 0.8 * float(far.mean())
    before = table[words.offset(Modality.AUDIO) :]
    model.explain_sounds(torch.randn(4, 3))
    assert not torch.equal(before[:4], model.table()[words.offset(Modality.AUDIO) :][:4])
    with pytest.raises(ConfigError, match="625"):
        NativeModel(NativeModel.plain(words), digits=(5, 3), **sizes)


def test_a_picture_of_two_codes_a_token_is_read_and_drawn(native, frame):
    codes = ImageCodes(native.codes.config.trunk, native.codes.config.channels, 8, groups=2)
    words = replace(native.model.words, image=(2, codes.codes))
    model = NativeModel(
        NativeModel.plain(words),
        codes.config.trunk,
        width=16,
        hidden=16,
        layers=1,
        places=128,
        digits=(codes.config.levels, codes.config.digits),
    ).eval()
    reader = NativeReader(model, native.trunk, codes.eval(), native.units, native.tokenizer)
    assert reader.picture(frame[None])[0].codes.shape == (64, 2)
    assert reader.draw(["a red cube"]).shape == (1, 64, 64, 3)
    with pytest.raises(CheckpointError, match="codes"):
        NativeReader(native.model, native.trunk, codes, native.units, native.tokenizer)


def test_a_spoken_question_is_written_down_before_it_is_answered(native, place, frame):
    corpus = SpeechCorpus.open(place / "questions")
    sound = native.sound(read_audio(corpus.folder / corpus.of("test")[0].file, 16_000), 16_000)
    row = [*native.picture(frame[None]), sound]
    ((heard, answer),) = native.answer_heard([row], 6)
    assert [heard] == native.say([row], 6)
    ids = write_text(native.model, [row], 6)[0]
    assert [answer] == native.say([[*row, Segment.text(ids)]], 6)


def test_it_is_measured_with_one_sense_and_with_both(place):
    words = ["model=native", f"checkpoint={place / 'run' / 'native' / 'model'}", "cases=4"]
    words += [f"trunk={place / 'trunk'}", f"questions={place / 'questions'}", "resamples=20"]
    words += [f"scenes={place / 'scenes'}", f"out={place / 'evaluation'}", "reading=null"]
    assert evaluate(composed("evaluate", words)) == 0
    figures = json.loads((place / "evaluation" / "metrics.json").read_text())
    both, alone = figures["native_spoken_both"], figures["native_spoken_audio_only"]
    assert figures["native_spoken_both_over_audio_only"] == pytest.approx(both - alone)
    for name in ("native_written", "native_described", "native_transcribed_word_errors"):
        assert figures[name] >= 0
    assert figures["native_codes_psnr"] > 0
    assert (place / "evaluation" / "index.html").stat().st_size > 0


@pytest.mark.parametrize(
    ("said", "right", "expected"),
    [("a b", "a b", 0), ("", "a b", 2), ("a c b", "a b", 1), ("c", "a b", 2), ("b a", "a b", 2)],
)
def test_word_errors_are_the_fewest_changes(said, right, expected):
    assert word_errors(said, right) == (expected, 2)


def test_mixtures_are_compared_on_the_same_rows(place):
    words = [f"{name}={place / name}" for name in ("text", "trunk", "questions")]
    words += [f"data={place / 'scenes'}", f"from_run={place / 'run'}", f"out={place / 'mixture'}"]
    sizes = ["size.mixture.width=16", "size.mixture.validation_rows=8"]
    sizes += ["size.budget.mixture.steps=2", "size.budget.mixture.batch_size=4"]
    assert run(composed("train", [*SMALL, *words, *sizes, "objective=mixture"])) == 0
    figures = json.loads((place / "mixture" / "metrics.json").read_text())
    assert figures["mixture_starved_action_loss"] > 0
    rows = json.loads((place / "mixture" / "table.json").read_text())["rows"]
    assert set(rows) == {"tokens", "balanced", "more_see", "more_draw"}
    assert sum(row["chosen"] for row in rows.values()) == 1
    assert (place / "mixture" / "curves.png").stat().st_size > 0


def test_it_is_packed_with_a_card_that_quotes_its_files(place, native, frame):
    stages = [place / "run" / stage for stage in ("image_codes", "speech_units", "native")]
    packed = pack_reader("native", stages, place / "packed")
    opened = load_native(packed, place / "trunk")
    row = [*native.picture(frame[None]), native.words("What is there?")]
    assert np.array_equal(opened.picture(frame[None])[0].codes, row[0].codes), "codes stay exact"
    assert len(opened.say([row], 4)) == 1
    evaluation = place / "evaluation"
    command = "worldmodel evaluate model=native"
    card = write_reader_card(packed, evaluation, command, tables=[place / "mixture"]).read_text()
    assert "| `native_spoken_both` |" in card
    assert "| image_codes | 2 |" in card
    kept = json.loads((packed / "scores" / "mixture.json").read_text())
    assert kept["figures"]["mixture_starved_action_loss"] > 0
    assert f"| tokens | {kept['rows']['tokens']['text']:.4g} |" in card
    assert kept["command"]
    verify(packed, "native")
    with pytest.raises(CheckpointError, match="no finished comparison"):
        write_reader_card(packed, evaluation, command, tables=[place / "scenes"])
    nameless = place / "nameless"
    nameless.mkdir()
    (nameless / "table.json").write_text(json.dumps({"title": "Arms", "rows": {}}))
    (nameless / "metrics.json").write_text("{}")
    with pytest.raises(CheckpointError, match="which command wrote it"):
        write_reader_card(packed, evaluation, command, tables=[nameless])


def test_the_chosen_mixture_regresses_nothing():
    losses = {
        "tokens": {"text": 1.0, "image": 1.0, "action": 3.0},
        "better": {"text": 0.9, "image": 1.005, "action": 1.5},
        "worse": {"text": 0.1, "image": 1.2, "action": 0.5},
    }
    assert chosen(losses) == "better"
    del losses["better"]
    assert chosen(losses) == "tokens"
    assert arms_of({"see": 1.0, "draw": 1.0}, {"text": 1.0})["more_see"][0] == {
        "see": 2.0,
        "draw": 1.0,
    }


def test_what_cannot_be_read_is_refused(native, place, frame):
    with pytest.raises(TextError):
        native.answer(frame, "  ")
    with pytest.raises(AudioError):
        native.answer(frame, np.zeros(10, np.float32))
    with pytest.raises(FrameError):
        native.answer(frame[:1, :1], "What is there?")
    with pytest.raises(SequenceError, match="positions"):
        native.say([native.picture(np.repeat(frame[None], 9, 0))])
    with pytest.raises(CheckpointError):
        NativeReader.from_pretrained(
            place / "run" / "native" / "model", open_trunk(save_trunk(place / "other", seed=1))
        )
