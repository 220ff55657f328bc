"""What is said to the table, and what it asks for."""

import random
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from multimodal.language.instructions import INSTRUCTION_PHRASES, instruction
from multimodal.language.vocabulary import COLOURS, SHAPES, WALLS
from multimodal.speech.language import (
    Step,
    command,
    is_stop,
    normal_text,
    parse_command,
    spoken_texts,
)
from multimodal.speech.model import UNKNOWN, word_ids
from multimodal.speech.search import command_network

COLOUR, SHAPE, WALL = (st.sampled_from(words) for words in (COLOURS, SHAPES, WALLS))
PHRASE = st.integers(0, INSTRUCTION_PHRASES - 1)


@given(COLOUR, SHAPE, COLOUR, PHRASE)
def test_every_instruction_to_a_zone_is_parsed_and_allowed(colour, shape, zone, phrase):
    text = instruction(colour, shape, zone=zone, phrase=phrase)
    assert parse_command(text) == (Step(colour, shape, zone=zone),)
    assert command_network().allows(text)


@given(COLOUR, SHAPE, WALL, PHRASE)
def test_every_instruction_to_a_wall_is_parsed_and_allowed(colour, shape, wall, phrase):
    text = instruction(colour, shape, wall=wall, phrase=phrase)
    assert parse_command(text) == (Step(colour, shape, wall=wall),)
    assert command_network().allows(text)


@given(st.integers(0, 2**32), st.integers(1, 3))
def test_a_command_of_several_steps_has_that_many_and_is_allowed(seed, steps):
    text = command(random.Random(seed), steps)
    parsed = parse_command(text)
    assert len(parsed) == steps
    assert all(step.colour and step.shape and (step.zone or step.wall) for step in parsed)
    assert command_network().allows(normal_text(text))


def test_the_example_of_the_readme_has_two_steps():
    text = "First the red cube to the green target, then the blue ball to the left wall!"
    assert parse_command(text) == (
        Step("red", "cube", zone="green"),
        Step("blue", "ball", wall="left"),
    )


def test_what_was_not_said_is_none():
    assert parse_command("push the cube to the top wall") == (Step(None, "cube", wall="top"),)
    assert parse_command("the red one") == (Step("red", None),)


def test_what_is_no_command_has_no_steps():
    for text in (
        "",
        "hello there",
        "push the pyramid to the left wall",
        "push the",
        "to the green",
    ):
        assert parse_command(text) == ()
        assert not command_network().allows(normal_text(text))


def test_stop_words_alone_stop_and_within_a_sentence_do_not():
    assert is_stop("Stop!")
    assert is_stop("halt, halt now")
    assert not is_stop("now")
    assert not is_stop("push the red cube to the top wall")


def test_the_same_seed_gives_the_same_texts():
    one, again = list(islice(spoken_texts(4), 50)), list(islice(spoken_texts(4), 50))
    assert one == again
    assert one != list(islice(spoken_texts(5), 50))


def test_unknown_words_in_a_row_are_one_unknown():
    ids = word_ids("push the shiny old pyramid")
    assert ids.count(UNKNOWN) == 1
    assert ids[:2] == word_ids("push the")
    assert len(ids) == 3
