"""The best sentence of the grammar for what was heard: a Viterbi search over letters.

Every letter of the grammar's pattern is a place; a sentence is a way from place to place
(Glushkov's automaton of the pattern). CTC adds to each place a blank that may follow it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice, pairwise
from math import log

import numpy as np
from numpy.typing import NDArray

from multimodal.language.vocabulary import COLOURS
from multimodal.speech.grammar import COMMANDS, JOINED, REPLIES, STEP, Pattern
from multimodal.speech.language import STOP_WORDS, normal_text, parse_command, spoken_texts
from multimodal.speech.model import BLANK, letter_ids

__all__ = ["Found", "Network", "command_network", "habits"]

_NEVER = -1e30
# Of a word after another after which it never came in thousands of sentences.
_RARE = -8.0
_BRIEF = {*STOP_WORDS, *COLOURS, "yes", "no"}


@dataclass(frozen=True)
class Found:
    """The best sentence.

    Attributes:
        text: its words.
        score: log-likelihood of its best alignment, with the habits.
    """

    text: str
    score: float


@dataclass(frozen=True)
class _Part:
    """A piece of the pattern: where it begins and ends, and whether it may be left out."""

    first: frozenset[int]
    last: frozenset[int]
    empty: bool


class Network:
    """An automaton whose states are the letters of words.

    Args:
        before: what may come before the first step.
        step: a step.
        joined: what joins two steps; as many as one likes.
        after: what may come after the last step.
        others: whole sentences of another kind.
        habits: log-probability of a word after another, the empty word being the beginning and the
            end; without, all are alike.
    """

    def __init__(
        self,
        before: Pattern,
        step: Pattern,
        joined: Pattern,
        after: Pattern,
        others: Pattern,
        habits: Mapping[tuple[str, str], float] | None = None,
    ) -> None:
        self._habits = habits or {}
        # The word that each place belongs to.
        self._words: list[str] = []
        self._letters: list[int] = []
        # The word that begins at a place, empty inside a word.
        self._begun: list[str] = []
        self._follows: set[tuple[int, int]] = set()
        inner = self._build(step)
        again = self._sequence(self._build(joined), inner_again := self._build(step))
        self._link(inner_again, again)
        looped = _Part(again.first, again.last, empty=True)
        commands = self._build(before)
        for part in (inner, looped, self._build(after)):
            commands = self._sequence(commands, part)
        other = self._build(others)
        self.first = sorted(commands.first | other.first)
        self.last = sorted(commands.last | other.last)

    @cached_property
    def letters(self) -> NDArray[np.int64]:
        """Letter of each place, int64 (N,)."""
        return np.array(self._letters)

    @cached_property
    def before(self) -> NDArray[np.int64]:
        """Places that may come right before each place, int64 (N, K), filled up with -1."""
        lists: list[list[int]] = [[] for _ in self._letters]
        for j, i in sorted(self._follows):
            lists[i].append(j)
        widest = max(map(len, lists))
        return np.array([each + [-1] * (widest - len(each)) for each in lists])

    @cached_property
    def usual(self) -> NDArray[np.float64]:
        """How usual it is to come from each place of `before`, float64 (N, K); inside words 0."""
        made = np.zeros(self.before.shape)
        for i, places in enumerate(self.before):
            if self._begun[i]:
                for number, j in enumerate(places):
                    made[i, number] = self._habit(self._words[j], self._words[i])
        return made

    def _habit(self, one: str, two: str) -> float:
        return self._habits.get((one, two), _RARE if self._habits else 0.0)

    def allows(self, text: str) -> bool:
        """Whether these words are a sentence of the grammar."""
        ids = letter_ids(text)
        places = {place for place in self.first if ids and self._letters[place] == ids[0]}
        for letter in ids[1:]:
            places = {i for j, i in self._follows if j in places and self._letters[i] == letter}
        return bool(places & set(self.last))

    def search(self, likelihood: NDArray[np.float32]) -> Found:
        """Find the best sentence.

        Args:
            likelihood: log-probabilities (T, words) of CTC's frames.

        Returns:
            The sentence with the best alignment, at least one word long.
        """
        emitted = likelihood[:, self.letters].astype(np.float64)
        blank = likelihood[:, BLANK].astype(np.float64)
        size, before = len(self.letters), self.before
        none = before < 0
        # The same letter twice needs a blank between.
        from_blank = np.where(none, _NEVER, self.usual)
        same = self.letters[before] == self.letters[:, None]
        from_letter = np.where(same, _NEVER, from_blank)
        rows = np.arange(size)
        starts = np.full(size, _NEVER)
        starts[self.first] = [self._habit("", self._words[place]) for place in self.first]
        # The letter itself, and the blank after it.
        letter, pause = starts + emitted[0], np.full(size, _NEVER)
        silence = blank[0]
        back_letter = np.full((len(emitted), size), -2)
        back_pause = np.zeros((len(emitted), size), bool)
        for t in range(1, len(emitted)):
            via_letter, via_pause = from_letter + letter[before], from_blank + pause[before]
            j_letter, j_pause = via_letter.argmax(1), via_pause.argmax(1)
            choices = np.stack(
                [letter, via_letter[rows, j_letter], via_pause[rows, j_pause], starts + silence]
            )
            best = choices.argmax(0)
            # -1 stays on the letter, -2 starts, j comes from letter j, size + j from its blank.
            came = [before[rows, j_letter], size + before[rows, j_pause]]
            back_letter[t] = np.choose(best, [np.full(size, -1), *came, np.full(size, -2)])
            back_pause[t] = letter > pause
            pause = np.maximum(pause, letter) + blank[t]
            letter = choices.max(0) + emitted[t]
            silence = silence + blank[t]
        return self._trace(letter, pause, back_letter, back_pause)

    def _trace(
        self,
        letter: NDArray[np.float64],
        pause: NDArray[np.float64],
        back_letter: NDArray[np.int64],
        back_pause: NDArray[np.bool_],
    ) -> Found:
        last, size = np.array(self.last), len(self.letters)
        ends = np.array([self._habit(self._words[place], "") for place in self.last])
        best = int((np.maximum(letter, pause)[last] + ends).argmax())
        place = int(last[best])
        sounds = bool(letter[place] >= pause[place])
        score = float(max(letter[place], pause[place]) + ends[best])
        places = [place]
        for t in range(len(back_letter) - 1, -1, -1):
            if not sounds:
                sounds = bool(back_pause[t, place])
                continue
            origin = int(back_letter[t, place])
            if origin == -2:
                break
            if origin >= 0:
                place, sounds = origin % size, origin < size
                places.append(place)
        return Found(
            " ".join(filter(None, (self._begun[each] for each in reversed(places)))), score
        )

    def _build(self, pattern: Pattern) -> _Part:
        if isinstance(pattern, str):
            places = []
            for word in pattern.split():
                for number, letter in enumerate(letter_ids(word)):
                    places.append(len(self._letters))
                    self._letters.append(letter)
                    self._begun.append("" if number else word)
                    self._words.append(word)
            self._follows.update(pairwise(places))
            return _Part(frozenset(places[:1]), frozenset(places[-1:]), not places)
        parts = [self._build(part) for part in pattern]
        if isinstance(pattern, list):
            return _Part(
                frozenset().union(*(part.first for part in parts)),
                frozenset().union(*(part.last for part in parts)),
                any(part.empty for part in parts),
            )
        whole = parts[0]
        for part in parts[1:]:
            whole = self._sequence(whole, part)
        return whole

    def _sequence(self, one: _Part, two: _Part) -> _Part:
        self._link(one, two)
        return _Part(
            one.first | two.first if one.empty else one.first,
            one.last | two.last if two.empty else two.last,
            one.empty and two.empty,
        )

    def _link(self, one: _Part, two: _Part) -> None:
        self._follows.update((j, i) for j in one.last for i in two.first)


def habits(weight: float = 1.0, sentences: int = 4000) -> dict[tuple[str, str], float]:
    """How often one word follows another in what is said to the table, counted.

    Args:
        weight: of the log-probabilities.
        sentences: how many are counted.

    Returns:
        Log-probability of the second word after the first; the empty word is beginning and end.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    for text in islice(spoken_texts(0), sentences):
        said = normal_text(text)
        if parse_command(said) or said in _BRIEF:
            pairs.update(pairwise(["", *said.split(), ""]))
    totals: Counter[str] = Counter()
    for (one, _), count in pairs.items():
        totals[one] += count
    return {pair: weight * log(count / totals[pair[0]]) for pair, count in pairs.items()}


@lru_cache(maxsize=1)
def command_network() -> Network:
    """The network of everything that is said to the table."""
    before, after = COMMANDS
    return Network(before, STEP, JOINED, after, REPLIES, habits())
