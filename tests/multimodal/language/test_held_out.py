"""What is kept out of training stays out, and everything kept out can be learned from the rest."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal.errors import ConfigError, StateError
from multimodal.language import (
    COLOURS,
    FAMILIES,
    HELD_OUT_COMBINATIONS,
    SHAPES,
    TRAINING_COMBINATIONS,
    Scene,
    caption,
    in_training,
    is_held_out_template,
    prompt,
    scene_prompt,
    shows_held_out,
)
from multimodal.language.asking import OPENINGS
from multimodal.language.corpus import random_questions, random_scene, sentences
from tests.multimodal.language.states import make_state, states

SEEDS = st.integers(0, 2**32)


def test_combinations_are_either_for_training_or_held_out():
    everything = {(colour, shape) for colour in COLOURS for shape in SHAPES}
    assert set(TRAINING_COMBINATIONS) | HELD_OUT_COMBINATIONS == everything
    assert not set(TRAINING_COMBINATIONS) & HELD_OUT_COMBINATIONS


def test_every_colour_and_every_shape_is_seen_in_training_and_tested_held_out():
    for pairs in (TRAINING_COMBINATIONS, HELD_OUT_COMBINATIONS):
        assert {colour for colour, _ in pairs} == set(COLOURS)
        assert {shape for _, shape in pairs} == set(SHAPES)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_what_is_asked_for_training_may_be_trained_on(seed):
    for scene, question in random_questions(np.random.default_rng(seed)):
        assert in_training(scene)
        assert in_training(question)
        words = f"{question.text} {question.answer}"
        assert not any(f"{colour} {shape}" in words for colour, shape in HELD_OUT_COMBINATIONS)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_what_is_asked_for_evaluation_uses_held_out_paraphrases(seed):
    for _, question in random_questions(np.random.default_rng(seed), split="held_out"):
        assert is_held_out_template(question.template)
        assert not in_training(question)


@settings(max_examples=100, deadline=None)
@given(state=states(), seed=SEEDS)
def test_a_scene_with_a_held_out_combination_is_not_spoken_of_in_training(state, seed):
    scene = Scene.from_state(state)
    shown = {(thing.colour, thing.shape) for thing in scene.objects} & HELD_OUT_COMBINATIONS
    assert in_training(scene) is not bool(shown)
    assert bool(shows_held_out(state)) is bool(shown)
    if shown:
        assert caption(scene, np.random.default_rng(seed)) is None


def test_frames_are_judged_all_at_once_as_one_by_one():
    rng = np.random.default_rng(0)
    frames = [
        make_state([(thing.colour, thing.shape, thing.x_m, thing.y_m) for thing in scene.objects])
        for scene in (random_scene(rng, split="any") for _ in range(200))
    ]
    stacked = {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
    alone = [not in_training(Scene.from_state(frame)) for frame in frames]
    assert shows_held_out(stacked).tolist() == alone
    assert 0 < sum(alone) < len(alone)


def test_a_state_without_objects_cannot_be_judged():
    with pytest.raises(StateError, match="object_shape"):
        shows_held_out({"pusher_position_m": np.zeros((3, 2))})


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_held_out_episode_is_not_trained_on(split):
    scene = Scene.from_state(make_state([("red", "cube", 0.0, 0.0)]))
    assert in_training(scene)
    assert not in_training(scene, episode_split=split)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("a photo of a red cube", True),
        ("a photo of a red cross", False),
        ("Are there Red Crosses here?", False),
        ("the red zone has a cross on it", True),
        ("", True),
    ],
)
def test_a_text_is_judged_by_the_combinations_it_names(text, allowed):
    assert in_training(text) is allowed


def test_no_held_out_sentence_is_a_training_sentence():
    training, held_out = set(), set()
    for name, family in FAMILIES.items():
        for index, sentence in enumerate(family.sentences):
            bag = held_out if is_held_out_template(f"{name}/{index}") else training
            # Families with the same sentences in other settings would leak into each other.
            bag.add((name.partition(".")[0], sentence))
    assert training
    assert held_out
    assert not training & held_out
    opened = {(kind, start + sentence) for kind, sentence in training for start in OPENINGS}
    assert not opened & held_out


def test_held_out_sentences_use_only_words_that_training_sentences_teach():
    known, needed = set(), set()
    for name, family in FAMILIES.items():
        for index, sentence in enumerate(family.sentences):
            words = set(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", "", sentence.lower())))
            held_out = is_held_out_template(f"{name}/{index}")
            (needed if held_out else known).update(words)
    assert needed - known == set()


def test_an_unknown_template_is_refused():
    for template in ("count.shape/99", "nothing", "count.shape/x"):
        with pytest.raises(ConfigError, match="no template"):
            is_held_out_template(template)


def test_prompts_of_training_are_not_those_of_evaluation():
    rng = np.random.default_rng(0)
    scene = Scene.from_state(make_state([("red", "cube", 0.0, 0.0)]))
    drawn = {
        split: {scene_prompt(scene, rng, split=split) for _ in range(300)}
        for split in ("train", "held_out")
    }
    assert prompt("red", "cube") in drawn["train"]
    assert not drawn["train"] & drawn["held_out"]


def test_the_training_corpus_holds_nothing_held_out():
    assert all(in_training(sentence) for sentence in sentences(3000))
