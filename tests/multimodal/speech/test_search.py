"""The search finds the best sentence that the grammar has."""

from itertools import product

import numpy as np
import pytest

from multimodal.speech.grammar import WORDS, jsgf
from multimodal.speech.model import BLANK, spoken_words, word_ids
from multimodal.speech.search import Network, command_network

VOCABULARY = 4 + len(WORDS)


def collapsed(path):
    kept = [each for number, each in enumerate(path) if number == 0 or each != path[number - 1]]
    return tuple(each for each in kept if each != BLANK)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_as_good_as_trying_every_alignment(seed):
    network = Network(["", "please"], ("red", ["cube", "ball"]), "then", "", ["stop", "red"])
    rng = np.random.default_rng(seed)
    symbols = [BLANK, *word_ids("please red cube ball then stop")]
    likelihood = np.full((5, VOCABULARY), -30.0, np.float32)
    likelihood[:, symbols] = rng.normal(-2, 2, (5, len(symbols)))
    scores = {}
    for path in product(symbols, repeat=5):
        sentence = collapsed(path)
        if network.allows(list(sentence)):
            score = sum(float(likelihood[t, each]) for t, each in enumerate(path))
            scores[sentence] = max(score, scores.get(sentence, -np.inf))
    found = network.search(likelihood)
    best = max(scores, key=scores.__getitem__)
    assert found.ids == best
    assert found.score == pytest.approx(scores[best], abs=1e-4)


def test_a_sentence_outside_the_grammar_becomes_its_nearest_at_a_price():
    said = word_ids("push the red cube green target")
    likelihood = np.full((len(said) * 2, VOCABULARY), -8.0, np.float32)
    likelihood[:, BLANK] = -1.0
    for number, each in enumerate(said):
        likelihood[2 * number, each] = -0.1
    found = command_network().search(likelihood)
    assert command_network().allows(list(found.ids))
    assert spoken_words(list(found.ids)).startswith("push the red cube")
    assert found.score < likelihood.max(1).sum() - 1


def test_the_same_word_twice_needs_a_pause_between():
    network = Network("", "stop", "", "", ("stop", "stop"))
    stop = word_ids("stop")[0]
    likelihood = np.full((3, VOCABULARY), -9.0, np.float32)
    likelihood[:, stop] = -0.1
    assert network.search(likelihood).ids == (stop,)
    likelihood[1] = -9.0
    likelihood[1, BLANK] = -0.1
    assert network.search(likelihood).ids == (stop, stop)


def test_the_grammar_for_pocketsphinx_names_every_word():
    written = jsgf()
    assert all(word in written.replace("(", " ").replace(";", " ").split() for word in WORDS)
