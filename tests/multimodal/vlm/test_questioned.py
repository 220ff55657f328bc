"""Rows of questions: what they hold, what words are no choice."""

import dataclasses

import numpy as np
import pytest

from envs.reading import ReadingWorld
from multimodal.landmarks import KINDS as LANDMARKS
from multimodal.language import COLOURS, HELD_OUT_COMBINATIONS, SHAPES, Question, Scene
from multimodal.language.question import article
from multimodal.language.scene import SceneObject
from multimodal.language.vocabulary import HALF_VIEW_M
from multimodal.pictures import Pictures
from multimodal.text_tokenizer import decode_ids, encode_text, load_text_tokenizer
from multimodal.things import THING
from multimodal.vlm.copying import ARTICLE, COLOUR, OWN, SHAPE
from multimodal.vlm.projector import FrameTokens
from multimodal.vlm.questioned import QuestionedPictures
from multimodal.vlm.turns import IGNORED, Marks
from multimodal.vlm.unproven import Unproven
from tests.worldmodel.vlm_recordings import record_scenes, save_text
from worldmodel.evaluation.vlm_cases import open_flat

SLOTS = 5
FRAME = FrameTokens(8, 8)
SCENE = Scene(
    (SceneObject("red", "ball", 0.1, 0.0), SceneObject("blue", "cube", -0.1, 0.0)), (), (0, 0.1)
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("questioned")
    record_scenes(folder / "scenes")
    save_text(folder / "text")
    return folder


@pytest.fixture(scope="module")
def tokenizer(place):
    return load_text_tokenizer(place / "text")


@pytest.fixture(scope="module")
def flat(place):
    return open_flat(place / "scenes")


def rows_of(source, tokenizer, count=40, frame=FRAME):
    marks = Marks.of(tokenizer)
    data = QuestionedPictures([source], [1.0], tokenizer, marks, frame, "train", 0, 1000)
    return [data[index] for index in range(count)]


def own(flat):
    latents = np.random.default_rng(0).normal(size=(len(flat.frames), 64, 8)).astype(np.float16)
    return Pictures(flat, latents)


def test_every_frame_of_a_row_is_seen_and_has_landmarks(flat, tokenizer):
    pictures = own(flat)
    rows = rows_of(pictures, tokenizer)
    assert {len(row["glances"]) for row in rows} >= {1, 2}
    for row in rows:
        frames = row["frames"].max()
        assert row["glances"].shape == (frames, pictures.layout.numbers)
        assert row["landmarks"].shape == (frames, 64, len(LANDMARKS))


def test_the_same_number_gives_the_same_row(flat, tokenizer):
    first, second = rows_of(own(flat), tokenizer, 5), rows_of(own(flat), tokenizer, 5)
    assert all(np.array_equal(a[n], b[n]) for a, b in zip(first, second, strict=True) for n in a)


def cut_out(flat):
    """The same with things in other slots than the scene's own order, the pusher last."""
    found = np.zeros((len(flat.frames), SLOTS, THING), np.float16)
    for number in range(len(found)):
        scene = Scene.from_state(flat.state, number)
        spots = [*((each.x_m, each.y_m) for each in reversed(scene.objects)), scene.pusher_m]
        for row, (x_m, y_m) in zip(found[number], spots, strict=False):
            row[-4:-2], row[-1] = (x_m / HALF_VIEW_M, -y_m / HALF_VIEW_M), 1
        found[number, len(scene.objects), -2] = 1
    return dataclasses.replace(own(flat), things=found)


def test_every_copied_word_is_what_its_thing_is_called(flat, tokenizer):
    told = {SHAPE: 0, COLOUR: 0, ARTICLE: 0}
    for row in rows_of(cut_out(flat), tokenizer, frame=FrameTokens(8, 8, SLOTS)):
        for place in np.flatnonzero(row["copies"][:, 0] > OWN):
            part, slot = row["copies"][place]
            shape, colour = row["named"][row["sees"][place] - 1, slot]
            names = {SHAPE: SHAPES[shape], COLOUR: COLOURS[colour]}
            names[ARTICLE] = article(COLOURS[colour]).split(" ")[0]
            word = decode_ids(tokenizer, [row["labels"][place]]).strip()
            assert (shape >= 0, word) == (True, names[part])
            told[part] += 1
    assert min(told.values()) > 10


def test_what_a_question_only_mentions_is_not_copied(flat, tokenizer):
    rows = rows_of(cut_out(flat), tokenizer, frame=FrameTokens(8, 8, SLOTS))
    said = [row["labels"][row["copies"][:, 0] == OWN] for row in rows]
    words = {decode_ids(tokenizer, [each]).strip() for row in said for each in row}
    assert {"yes", "no"} <= words
    assert not words & {*SHAPES, *COLOURS}


def words(tokenizer, barred):
    return [{decode_ids(tokenizer, [each]).strip() for each in place} for place in barred]


def barred(tokenizer, answer, question=None):
    ids = encode_text(tokenizer, f" {answer}")
    return words(tokenizer, Unproven(tokenizer).of(ids, question, SCENE))


def question(kind, text, answer):
    return Question(kind, text, answer, (), 1, "")


def test_a_shape_after_a_colour_does_not_compete_with_the_shape_held_out_for_it(tokenizer):
    said = barred(tokenizer, "a red ball, a blue cube")
    assert [each for each in said if each] == [{"cross"}, {"triangle"}]


def test_an_answer_that_is_a_shape_alone_is_of_the_asked_thing(tokenizer):
    asked = question("shape", "What shape is the red object?", "ball")
    assert barred(tokenizer, "ball", asked) == [{"cross"}]
    outermost = question("shape", "What shape is the leftmost object?", "cube")
    assert barred(tokenizer, "cube", outermost) == [{"triangle"}]


def test_an_answer_that_is_a_colour_alone_is_of_a_known_shape(tokenizer):
    asked = question("colour", "What colour is the cube?", "blue")
    (found,) = barred(tokenizer, "blue", asked)
    assert found == {colour for colour, shape in HELD_OUT_COMBINATIONS if shape == "cube"}


def test_other_answers_bar_nothing(tokenizer):
    assert barred(tokenizer, "yes", question("relation", "Is the red ball left?", "yes")) == [set()]


def test_no_label_is_barred_from_its_own_place(flat, tokenizer):
    for row in rows_of(own(flat), tokenizer):
        labels = row["labels"][:, None]
        assert not ((row["barred"] == labels) & (labels != IGNORED)).any()


def test_the_tallest_and_the_lowest_bar_are_asked_for_before_anything_else_of_a_chart(
    tmp_path, tokenizer
):
    flat = open_flat(record_scenes(tmp_path / "reading", kind=ReadingWorld))
    source = own(flat)
    assert source.printed
    rows = [decode_ids(tokenizer, row["ids"]) for row in rows_of(source, tokenizer)]
    hard = [max(text.rfind("tallest"), text.rfind("lowest")) for text in rows]
    easy = [text.find("How many bars") for text in rows]
    both = [(h, e) for h, e in zip(hard, easy, strict=True) if h >= 0 and e >= 0]
    assert len(both) > 3
    assert all(h < e for h, e in both)
