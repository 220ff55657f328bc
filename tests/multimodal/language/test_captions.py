"""Captions, prompts and instructions say what is there."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal.errors import ConfigError
from multimodal.language import (
    FAMILIES,
    INSTRUCTION_PHRASES,
    PROMPTS,
    Scene,
    caption,
    instruction,
    prompt,
    scene_prompt,
)
from tests.multimodal.language.states import COLOURS, SHAPES, make_state, states

_PLACE = "(?: at the ((?:top|bottom|left|right| )+))?"
_NAMED = re.compile(rf"({'|'.join(COLOURS)}) ({'|'.join(SHAPES)}){_PLACE}")
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4}


def _names(state):
    present = np.flatnonzero(state["object_present"])
    return {
        (COLOURS[state["object_colour"][slot]], SHAPES[state["object_shape"][slot]]): state[
            "object_position_m"
        ][slot]
        for slot in present
    }


@settings(max_examples=200, deadline=None)
@given(state=states(), seed=st.integers(0, 2**32), complete=st.sampled_from([True, False, None]))
def test_a_caption_is_true(state, seed, complete):
    spoken = caption(
        Scene.from_state(state), np.random.default_rng(seed), split="any", complete=complete
    )
    if spoken is None:
        return
    there = _names(state)
    found = _NAMED.findall(spoken.text)
    assert {(colour, shape) for colour, shape, _ in found} <= there.keys()
    if spoken.complete:
        assert len(found) == len(there)
    for colour, shape, place in found:
        x, y = there[colour, shape]
        assert "left" not in place or x < -0.02
        assert "right" not in place or x > 0.02
        assert "top" not in place or y > 0.02
        assert "bottom" not in place or y < -0.02
    if relation := re.search(r"(left of|right of|above|below) the ", spoken.text):
        a, b = (there[each[:2]] for each in found)
        axis, sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, 1), "below": (1, -1)}[
            relation[1]
        ]
        assert sign * (a[axis] - b[axis]) >= 0.03
    if number := re.search(r"\b(one|two|three|four) (\w+)", spoken.text):
        if number[2].startswith("object"):
            expected = len(there)
        else:
            expected = sum(number[2].startswith(shape) for _, shape in there)
        assert _NUMBERS[number[1]] == expected


@settings(max_examples=50, deadline=None)
@given(state=states(), seed=st.integers(0, 2**32))
def test_a_complete_caption_names_every_object(state, seed):
    rng = np.random.default_rng(seed)
    spoken = caption(Scene.from_state(state), rng, split="any", complete=True)
    assert all(f"{colour} {shape}" in spoken.text for colour, shape in _names(state))


def test_a_prompt_is_a_photo_of_one_object():
    assert prompt("red", "cube") == "a photo of a red cube"
    assert prompt("orange", "ball") == "a photo of an orange ball"
    assert len({prompt("red", "cube", index) for index in range(len(PROMPTS))}) == len(PROMPTS)


def test_a_scene_is_named_whole():
    scene = Scene.from_state(make_state([("red", "cube", 0, 0), ("blue", "ball", 0.1, 0)]))
    assert scene_prompt(scene) == "a photo of a red cube and a blue ball"


def test_an_empty_table_has_no_caption():
    scene = Scene.from_state(make_state([]))
    assert caption(scene, np.random.default_rng(0)) is None
    with pytest.raises(ConfigError, match="no object"):
        scene_prompt(scene)


def test_sentences_have_the_right_article():
    scene = Scene.from_state(make_state([("orange", "cube", 0, 0), ("red", "ball", 0.1, 0.1)]))
    rng = np.random.default_rng(0)
    said = {caption(scene, rng, split="any").text for _ in range(2000)}
    assert not [text for text in said if re.search(r"\b(a orange|an red)\b", text, re.IGNORECASE)]


def test_captions_have_ten_paraphrases_and_more_of_which_some_are_drawn():
    rng = np.random.default_rng(0)
    scene = Scene.from_state(make_state([("red", "cube", -0.1, 0), ("blue", "ball", 0.1, 0.1)]))
    drawn = {caption(scene, rng, split="any").template for _ in range(3000)}
    for name, family in FAMILIES.items():
        if name.startswith("caption.") and name != "caption.prompt":
            used = {each for each in drawn if each.startswith(f"{name}/")}
            assert len(used) == len(family.sentences) >= 10


@pytest.mark.parametrize(
    ("phrase", "zone_text", "wall_text"),
    [
        (0, "push the red cube to the green target", "push the red cube to the left wall"),
        (1, "move the red cube onto the green target", "move the red cube against the left wall"),
        (2, "bring the red cube to the green zone", "bring the red cube to the left wall"),
        (3, "put the red cube on the green target", "slide the red cube up to the left wall"),
        (4, "slide the red cube into the green zone", "get the red cube over to the left wall"),
        (5, "get the red cube over to the green target", "take the red cube to the left wall"),
    ],
)
def test_instructions_that_were_ever_given_keep_their_words(phrase, zone_text, wall_text):
    assert instruction("red", "cube", zone="green", phrase=phrase) == zone_text
    assert instruction("red", "cube", wall="left", phrase=phrase) == wall_text


def test_every_phrase_names_object_and_place():
    for phrase in range(INSTRUCTION_PHRASES):
        text = instruction("blue", "cross", zone="yellow", phrase=phrase)
        assert "the blue cross" in text
        assert "the yellow" in text
        assert "the top wall" in instruction("blue", "cross", wall="top", phrase=phrase)


@pytest.mark.parametrize(
    "words",
    [
        {"zone": "green", "wall": "left"},
        {},
        {"zone": "pink"},
        {"wall": "north"},
        {"zone": "green", "phrase": 12},
    ],
)
def test_an_instruction_that_cannot_be_said_is_refused(words):
    with pytest.raises(ConfigError):
        instruction("red", "cube", **words)


@pytest.mark.parametrize("words", [("pink", "cube", 0), ("red", "cone", 0), ("red", "cube", 12)])
def test_a_prompt_that_cannot_be_said_is_refused(words):
    with pytest.raises(ConfigError, match="colours are"):
        prompt(*words)
