"""Questions: their answers against a reader of the raw state, and what is never asked."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal.errors import ConfigError, StateError
from multimodal.language import FAMILIES, KINDS, STILL_KINDS, Question, Scene, ask
from multimodal.language.asking import OPENINGS
from multimodal.language.corpus import random_scene
from tests.multimodal.language import oracle
from tests.multimodal.language.states import make_state, motions, states

SEEDS = st.integers(0, 2**32)
SPLITS = st.sampled_from(["train", "held_out", "any"])


@settings(max_examples=150, deadline=None)
@given(state=states(), seed=SEEDS, kind=st.sampled_from(STILL_KINDS), split=SPLITS)
def test_every_answer_about_a_still_is_what_the_state_says(state, seed, kind, split):
    rng = np.random.default_rng(seed)
    for _ in range(6):
        question = ask(kind, [Scene.from_state(state)], rng, split=split)
        if question is not None:
            assert question.kind == kind
            assert question.frames == 1
            assert question.answer == oracle.answer(kind, question.text, [state])


@settings(max_examples=150, deadline=None)
@given(pair=motions(), seed=SEEDS, split=SPLITS)
def test_every_answer_about_what_moved_is_what_the_states_say(pair, seed, split):
    rng = np.random.default_rng(seed)
    for _ in range(6):
        question = ask("moved", [Scene.from_state(s) for s in pair], rng, split=split)
        if question is not None:
            assert question.frames == 2
            assert question.answer == oracle.answer("moved", question.text, pair)


@settings(max_examples=100, deadline=None)
@given(
    state=states(),
    seed=SEEDS,
    step=st.tuples(st.floats(-0.02, 0.02), st.floats(-0.02, 0.02)),
    length=st.integers(1, 12),
)
def test_success_is_decided_by_what_follows(state, seed, step, length):
    path = [state]
    for _ in range(3 + length):
        following = {name: array.copy() for name, array in path[-1].items()}
        following["object_position_m"][0] += step
        path.append(following)
    seen, future = path[:4], path[4:]
    rng = np.random.default_rng(seed)
    scenes = [Scene.from_state(each) for each in path]
    question = ask("success", scenes[:4], rng, split="any", future=scenes[4:])
    if question is not None:
        assert question.frames == 4
        assert question.answer == oracle.answer("success", question.text, seen, future)


@settings(max_examples=60, deadline=None)
@given(state=states(), seed=SEEDS, kind=st.sampled_from(STILL_KINDS))
def test_the_same_randomness_asks_the_same_question(state, seed, kind):
    one, two = (
        ask(kind, [Scene.from_state(state)], np.random.default_rng(seed), split="any")
        for _ in range(2)
    )
    assert one == two


@pytest.mark.parametrize(
    ("kind", "objects"),
    [
        # 2 cm apart on both axes: neither left nor right, neither above nor below.
        ("relation", [("red", "cube", 0.0, 0.0), ("blue", "ball", 0.02, 0.02)]),
        ("nearest", [("red", "cube", -0.1, 0.0), ("blue", "ball", 0.1, 0.01)]),
        ("position", [("red", "cube", 0.0, 0.1)]),
        ("colour", [("red", "cube", 0.0, 0.0), ("blue", "cube", 0.02, 0.02)]),
    ],
)
def test_what_is_not_clear_is_not_asked(kind, objects):
    state = make_state(objects, zones=[("red", 0.0, 0.0), ("blue", 0.0, 0.01)], pusher=(0.0, 0.0))
    rng = np.random.default_rng(0)
    assert {ask(kind, [Scene.from_state(state)], rng, split="any") for _ in range(300)} == {None}


def test_a_tie_of_bars_has_no_tallest_and_no_comparison():
    state = make_state([], text="", bars=[("red", 3), ("blue", 3)], pusher=(0.15, 0.15))
    rng = np.random.default_rng(0)
    asked = [ask("chart", [Scene.from_state(state)], rng) for _ in range(300)]
    families = {question.template.partition("/")[0] for question in asked if question}
    assert families == {"chart.bars", "chart.height"}


@pytest.mark.parametrize("pusher", [(-0.1, 0.1), (-0.1, -0.1)])
def test_print_under_the_pusher_is_not_asked_about(pusher):
    state = make_state([], text="A2", bars=[("red", 3), ("blue", 1)], pusher=pusher)
    covered, free = ("reading", "chart") if pusher[1] > 0 else ("chart", "reading")
    rng = np.random.default_rng(0)
    scene = Scene.from_state(state)
    assert {ask(covered, [scene], rng) for _ in range(100)} == {None}
    assert ask(free, [scene], rng, split="any") is not None


def test_without_sign_and_chart_nothing_is_read():
    state = make_state([("red", "cube", 0.0, 0.0)])
    rng = np.random.default_rng(0)
    assert ask("reading", [Scene.from_state(state)], rng) is None
    assert ask("chart", [Scene.from_state(state)], rng) is None


def test_two_objects_that_moved_are_not_asked_for_as_one():
    before = make_state([("red", "cube", 0, 0), ("blue", "ball", 0.1, 0)])
    after = make_state([("red", "cube", 0.05, 0), ("blue", "ball", 0.1, 0.05)])
    pair = [Scene.from_state(before), Scene.from_state(after)]
    rng = np.random.default_rng(0)
    asked = [ask("moved", pair, rng) for _ in range(300)]
    assert "moved.which" not in {q.template.partition("/")[0] for q in asked if q}


def test_a_creeping_object_is_neither_moved_nor_still():
    before = make_state([("red", "cube", 0, 0)])
    after = make_state([("red", "cube", 0.008, 0)])
    pair = [Scene.from_state(before), Scene.from_state(after)]
    rng = np.random.default_rng(0)
    assert {ask("moved", pair, rng) for _ in range(100)} == {None}


def test_yes_and_no_are_equally_frequent():
    rng = np.random.default_rng(0)
    answers: dict[str, Counter] = {"existence": Counter(), "relation": Counter()}
    for _ in range(1500):
        scene = random_scene(rng)
        for kind, counter in answers.items():
            question = ask(kind, [scene], rng)
            if question and question.choices == ("yes", "no"):
                counter[question.answer] += 1
    for counter in answers.values():
        assert 0.44 < counter["yes"] / counter.total() < 0.56


def test_a_still_pair_is_asked_about_less_often_than_one_in_which_something_moved():
    before = Scene.from_state(make_state([("red", "cube", 0, 0), ("blue", "ball", 0.1, 0)]))
    after = Scene.from_state(make_state([("red", "cube", 0.05, 0), ("blue", "ball", 0.1, 0)]))
    rng = np.random.default_rng(0)
    moved = [ask("moved", [before, after], rng) for _ in range(400)]
    still = [ask("moved", [after, after], rng) for _ in range(400)]
    assert None not in moved
    answers = {question.answer for question in still if question}
    assert answers == {"nothing", "no"}
    assert still.count(None) > 200


def test_every_kind_has_ten_paraphrases_and_more():
    sentences = {kind: set() for kind in KINDS}
    for name, family in FAMILIES.items():
        kind = name.partition(".")[0]
        if kind in sentences:
            assert len(set(family.sentences)) >= 10
            sentences[kind] |= set(family.sentences)
    assert min(len(each) for each in sentences.values()) >= 10


def test_a_sentence_may_come_before_a_question_of_training_and_of_no_other():
    rng = np.random.default_rng(0)
    scene = random_scene(rng)
    opening = "Here is a picture. "
    asked = {split: {ask("count", [scene], rng, split=split).text for _ in range(400)}
             for split in ("train", "held_out")}  # fmt: skip
    opened = {text.removeprefix(opening) for text in asked["train"] if text.startswith(opening)}
    assert opening in OPENINGS
    assert opened & asked["train"]
    assert not any(text.startswith(opening) for text in asked["held_out"])


def test_every_kind_is_asked_in_the_end():
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(40)]
    for kind in STILL_KINDS:
        assert any(ask(kind, [scene], rng) for scene in scenes)


@settings(max_examples=60, deadline=None)
@given(state=states(), seed=SEEDS, kind=st.sampled_from(STILL_KINDS))
def test_closed_questions_have_their_answer_once_among_the_choices(state, seed, kind):
    question = ask(kind, [Scene.from_state(state)], np.random.default_rng(seed), split="any")
    if question is not None and question.choices:
        assert question.choices.count(question.answer) == 1


def test_a_question_without_its_answer_among_the_choices_is_refused():
    with pytest.raises(ConfigError, match="not among"):
        Question("count", "How many?", "9", ("0", "1"), 1, "count.objects/0")


@pytest.mark.parametrize(
    ("kind", "scenes", "options", "error", "says"),
    [
        ("smell", 1, {}, ConfigError, "expected one of count"),
        ("count", 1, {"split": "test"}, ConfigError, "held_out"),
        ("count", 0, {}, StateError, "at least one"),
        ("moved", 1, {}, StateError, "first and the last"),
        ("success", 4, {}, StateError, "those that follow"),
    ],
)
def test_bad_requests_say_what_to_do(kind, scenes, options, error, says):
    scene = Scene.from_state(make_state([("red", "cube", 0.0, 0.0)]))
    with pytest.raises(error, match=says):
        ask(kind, [scene] * scenes, np.random.default_rng(0), **options)


def test_frames_of_different_scenes_are_refused():
    one = Scene.from_state(make_state([("red", "cube", 0.0, 0.0)]))
    two = Scene.from_state(make_state([("blue", "cube", 0.0, 0.0)]))
    with pytest.raises(StateError, match="not in both"):
        ask("moved", [one, two], np.random.default_rng(0))
