"""From instructions to steps, judged against a table that is seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.language import ground, parse
from agents.protocol import Ask, Refuse, Stop
from multimodal.language import INSTRUCTION_PHRASES, instruction


def steps(text, table):
    answer = ground(parse(text), table)
    assert isinstance(answer, tuple), answer
    return [step.words().removeprefix("push the ") for step in answer]


@pytest.mark.parametrize("phrase", range(INSTRUCTION_PHRASES))
def test_every_phrase_of_the_worlds_is_understood(phrase, table):
    to_zone = instruction("red", "cube", zone="green", phrase=phrase)
    to_wall = instruction("yellow", "cross", wall="top", phrase=phrase)
    assert steps(to_zone, table) == ["red cube to the green target"]
    assert steps(to_wall, table) == ["yellow cross to the top wall"]
    both = f"first {to_zone}, then {to_wall}"
    assert steps(both, table) == ["red cube to the green target", "yellow cross to the top wall"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("First the red cube to the green target, then the green ball to the left wall",
         ["red cube to the green target", "green ball to the left wall"]),
        ("push the red cube to the left wall, then push it to the right wall",
         ["red cube to the left wall", "red cube to the right wall"]),
        ("push the red cube to the left wall after pushing the green ball to the top wall",
         ["green ball to the top wall", "red cube to the left wall"]),
        ("before you push the red cube to the top wall, push the ball to the left wall",
         ["green ball to the left wall", "red cube to the top wall"]),
        ("push the red cube and the green ball to the bottom wall",
         ["red cube to the bottom wall", "green ball to the bottom wall"]),
        ("push both cubes to the top wall",
         ["red cube to the top wall", "blue cube to the top wall"]),
        ("Could you please move the yellow cross against the upper wall?",
         ["yellow cross to the top wall"]),
        ("push the left cube to the purple zone", ["red cube to the purple target"]),
        ("get the red one over to the purple target", ["red cube to the purple target"]),
        ("slide the gren ball up to the botom wall", ["green ball to the bottom wall"]),
        ("push the red box to the green circle", ["red cube to the green target"]),
    ],
)  # fmt: skip
def test_steps_come_in_the_order_in_which_they_are_meant(text, meant, table):
    assert steps(text, table) == meant


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("push the cube to the left wall", ("the red cube", "the blue cube")),
        ("push the green ball to the target", ("the green target", "the purple target")),
        ("push the red cube to the left wall and the right wall",
         ("the left wall", "the right wall")),
        ("push the red cube to the left wall and push it to the right wall",
         ("the left wall", "the right wall")),
    ],
)  # fmt: skip
def test_what_is_ambiguous_or_contradictory_is_asked_about_by_name(text, choices, table):
    answer = ground(parse(text), table)
    assert isinstance(answer, Ask)
    assert answer.choices == choices
    assert all(choice in answer.question for choice in choices)


@pytest.mark.parametrize(
    "text",
    ["", "   ", "schiebe den roten Würfel zum grünen Ziel", "mueve el cubo rojo a la meta verde",
     "don't push the red cube", "push the red cube", "to the left wall", "push", "asdf qwer zxcv",
     "push the red blue cube to the left wall", "push the red cube to the left right wall",
     "push it to the left wall", "word " * 1000],
)  # fmt: skip
def test_what_cannot_be_understood_is_asked_about(text, table):
    assert isinstance(ground(parse(text), table), Ask)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("push the orange cube to the left wall", "orange cube"),
        ("push the red ball to the left wall", "the red object is a cube"),
        ("push the triangle to the left wall", "triangle"),
        ("push the red cube to the blue target", "no blue target"),
        ("push the pink cube to the left wall", "pink cube"),
        ("push the banana to the left wall", "banana"),
        ("lift the red cube", "cannot lift"),
        ("push the red cube onto the blue cube", "the blue cube"),
        ("push the red cube to the moon", "moon"),
    ],
)
def test_what_is_impossible_is_refused_with_the_reason(text, why, table):
    answer = ground(parse(text), table)
    assert isinstance(answer, Refuse)
    assert why in answer.reason


@pytest.mark.parametrize("text", ["stop", "Halt!", "please stop now", "stop pushing"])
def test_the_stop_word_stops(text, table):
    assert isinstance(ground(parse(text), table), Stop)


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(text):
    parsed = parse(text)
    assert parsed.wishes or parsed.ask or parsed.refuse or parsed.stop


_WORDS = ["push", "the", "red", "blue", "cube", "ball", "to", "left", "wall", "target", "then",
          "and", "first", "it", "all", "not", "stop", "lift", "before", "after"]  # fmt: skip


@given(st.lists(st.sampled_from(_WORDS), max_size=14))
def test_no_order_of_words_breaks_the_grammar(words):
    parsed = parse(" ".join(words))
    assert parsed.wishes or parsed.ask or parsed.refuse or parsed.stop
