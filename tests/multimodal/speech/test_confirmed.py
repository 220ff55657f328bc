"""What ends in a stop word costs nothing, and everything else its price."""

from itertools import product

import numpy as np
import pytest
import torch

from multimodal.speech.confirmed import ConfirmedSpotter, asked, confidence, price_of_ending
from multimodal.speech.model import BLANK, SpeechModel, letter_ids, speech_config
from multimodal.speech.spotter import Spotter, SpotterModel


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("word", ["ab", "aa"])
def test_the_price_is_that_of_the_best_of_all_ways(seed, word):
    rng = np.random.default_rng(seed)
    symbols = [BLANK, *letter_ids("abc")]
    likelihood = np.full((5, 27), -40.0, np.float32)
    likelihood[:, symbols] = np.log(rng.dirichlet(np.ones(4), 5))
    wanted, best = letter_ids(word), -np.inf
    for start in range(5):
        for path in product(symbols, repeat=5 - start):
            kept = [s for n, s in enumerate(path) if (n == 0 or s != path[n - 1]) and s != BLANK]
            if kept == wanted and path[0] != BLANK:
                score = sum(float(likelihood[start + n, s]) for n, s in enumerate(path))
                best = max(best, score + float(likelihood[:start].max(1).sum()))
    price = float(likelihood.max(1).sum()) - best
    assert price_of_ending(likelihood, word) == pytest.approx(price, abs=1e-4)


def heard(text):
    likelihood = np.full((3 * len(text), 27), -6.0, np.float32)
    likelihood[:, BLANK] = -0.1
    for place, letter in enumerate(letter_ids(text)):
        likelihood[3 * place] = -6.0
        likelihood[3 * place, letter] = -0.1
    return likelihood


def test_a_stop_after_anything_is_free_and_a_top_is_dear():
    assert price_of_ending(heard("theballstop"), "stop") == pytest.approx(0, abs=1e-5)
    assert price_of_ending(heard("tothetop"), "stop") > 4
    assert price_of_ending(heard("stopit"), "stop") > 4


def test_where_nothing_is_suspected_the_recogniser_is_not_asked(monkeypatch):
    torch.manual_seed(0)
    model = SpeechModel(speech_config(width=16, layers=1, near=1, heads=2, hidden=16)).eval()
    spotter = Spotter(SpotterModel(width=8))
    chunks = torch.randn(6, 512) * 0.1
    always = ConfirmedSpotter(spotter, model, suspicion=0.0, threshold=0.5)
    first = [always.push(chunk) for chunk in chunks]
    # Of three pieces the first has none before it.
    assert first[0] < first[1] < first[2] < 1
    always.reset()
    assert [always.push(chunk) for chunk in chunks] == pytest.approx(first, abs=1e-6)

    def asked_all_the_same(*_):
        raise AssertionError

    monkeypatch.setattr("multimodal.speech.confirmed.agreement", asked_all_the_same)
    never = ConfirmedSpotter(spotter, model, suspicion=1.1, threshold=0.5)
    assert max(never.push(chunk) for chunk in chunks) < min(first)


def test_letters_have_to_agree_over_three_pieces_while_a_suspicion_is_young():
    suspected = np.array([0.0, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert asked(suspected, 0.5).tolist() == [False] + [True] * 6 + [False]
    sure = confidence(suspected, np.array([0.0, 0.0, 0.8, 0.9, 0.7, 0.9, 1.0, 0.0]))
    assert sure[4] == pytest.approx((0.8 * 0.9 * 0.7) ** (1 / 3) * (9 / 1000) ** 0.15)
    assert sure.argmax() == 6
    # A letter that flickers does not forbid the word, but counts.
    assert sure[2] < sure[3] < 0.1 * sure[4]


def test_the_surer_the_spotter_the_less_readily_letters_have_to_agree():
    assert confidence(np.full(5, 0.9999), np.full(5, 0.5))[-1] == pytest.approx(0.5, rel=1e-3)
    assert confidence(np.full(5, 0.02), np.ones(5))[-1] < 0.25
