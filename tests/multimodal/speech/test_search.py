"""The search finds the best sentence that the grammar has."""

from itertools import product

import numpy as np
import pytest

from multimodal.speech.grammar import WORDS, jsgf
from multimodal.speech.model import BLANK, letter_ids
from multimodal.speech.search import Network, command_network, habits

SYMBOLS = 27


def collapsed(path):
    kept = [each for number, each in enumerate(path) if number == 0 or each != path[number - 1]]
    return tuple(each for each in kept if each != BLANK)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_as_good_as_trying_every_alignment(seed):
    network = Network(["", "a"], ("b", ["bc", "d"]), "a", "", ["dd", "c"])
    rng = np.random.default_rng(seed)
    symbols = [BLANK, *letter_ids("abcd")]
    likelihood = np.full((6, SYMBOLS), -30.0, np.float32)
    likelihood[:, symbols] = rng.normal(-2, 2, (6, len(symbols)))
    allowed = {tuple(letter_ids(text)): text for text in
               ("b bc", "b d", "a b bc", "a b d", "b d a b d", "dd", "c")}  # fmt: skip
    scores = {}
    for path in product(symbols, repeat=6):
        text = allowed.get(collapsed(path))
        if text is not None:
            assert network.allows(text)
            score = sum(float(likelihood[t, each]) for t, each in enumerate(path))
            scores[text] = max(score, scores.get(text, -np.inf))
    found = network.search(likelihood)
    assert found.text == max(scores, key=scores.__getitem__)
    assert found.score == pytest.approx(scores[found.text], abs=1e-4)


def test_a_sentence_outside_the_grammar_becomes_its_nearest_at_a_price():
    said = letter_ids("push the red cube grn target")
    likelihood = np.full((len(said) * 2, SYMBOLS), -8.0, np.float32)
    likelihood[:, BLANK] = -1.0
    for number, each in enumerate(said):
        likelihood[2 * number, each] = -0.1
    found = command_network().search(likelihood)
    assert command_network().allows(found.text)
    assert found.text.startswith("push the red cube")
    assert found.score < likelihood.max(1).sum() - 1


def test_the_same_letter_twice_needs_a_pause_between():
    network = Network("", "l", "a", "", "ll")
    (letter,) = letter_ids("l")
    likelihood = np.full((3, SYMBOLS), -9.0, np.float32)
    likelihood[:, letter] = -0.1
    assert network.search(likelihood).text == "l"
    likelihood[1] = -9.0
    likelihood[1, BLANK] = -0.1
    assert network.search(likelihood).text == "ll"


def test_of_two_sentences_that_sound_alike_the_usual_one_is_heard():
    likelihood = np.full((8, SYMBOLS), -9.0, np.float32)
    likelihood[:, BLANK] = -0.1
    for place, letters in ((1, "a"), (4, "bc")):
        likelihood[place, letter_ids(letters)] = -0.7
    parts = ("", ("a", ["b", "c"]), "d", "", "e")
    for usual in "bc":
        said = {("", "a"): -0.1, ("a", usual): -0.1, (usual, ""): -0.1}
        assert Network(*parts, said).search(likelihood).text == f"a {usual}"


def test_habits_are_counted_over_what_is_said():
    counted = habits()
    assert counted["red", "cube"] > counted["red", "one"]
    assert counted["target", ""] > counted["ball", ""]
    assert sum(np.exp(value) for (one, _), value in counted.items() if one == "the") == (
        pytest.approx(1)
    )


def test_the_grammar_for_pocketsphinx_names_every_word():
    written = jsgf()
    assert all(word in written.replace("(", " ").replace(";", " ").split() for word in WORDS)
