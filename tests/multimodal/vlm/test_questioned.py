"""Rows of questions: what they hold, what words are no choice."""

import numpy as np
import pytest

from envs.reading import ReadingWorld
from multimodal.landmarks import KINDS as LANDMARKS
from multimodal.language import HELD_OUT_COMBINATIONS, Question, Scene
from multimodal.language.scene import SceneObject
from multimodal.pictures import Pictures
from multimodal.text_tokenizer import decode_ids, encode_text, load_text_tokenizer
from multimodal.vlm.projector import FrameTokens
from multimodal.vlm.questioned import QuestionedPictures
from multimodal.vlm.turns import IGNORED, Marks
from multimodal.vlm.unproven import Unproven
from tests.worldmodel.vlm_recordings import record_scenes, save_text
from worldmodel.evaluation.vlm_cases import open_flat

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


def rows_of(source, tokenizer, count=40):
    marks = Marks.of(tokenizer)
    data = QuestionedPictures(
        [source], [1.0], tokenizer, marks, FrameTokens(8, 8), "train", 0, 1000
    )
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
