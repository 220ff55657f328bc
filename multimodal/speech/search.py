"""The best sentence of the grammar for what was heard: a Viterbi search over words.

Every word of the grammar's pattern is a place; a sentence is a way from place to place (Glushkov's
automaton of the pattern). CTC adds to each place a blank that may follow it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from multimodal.speech.grammar import COMMANDS, JOINED, REPLIES, STEP, Pattern
from multimodal.speech.model import BLANK, word_ids

__all__ = ["Found", "Network", "command_network"]

_NEVER = -1e30


@dataclass(frozen=True)
class Found:
    """The best sentence.

    Attributes:
        ids: its words.
        score: log-likelihood of its best alignment.
    """

    ids: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class _Part:
    """A piece of the pattern: where it begins and ends, and whether it may be left out."""

    first: frozenset[int]
    last: frozenset[int]
    empty: bool


class Network:
    """An automaton whose states are words.

    Args:
        before: what may come before the first step.
        step: a step.
        joined: what joins two steps; as many as one likes.
        after: what may come after the last step.
        others: whole sentences of another kind.
    """

    def __init__(
        self, before: Pattern, step: Pattern, joined: Pattern, after: Pattern, others: Pattern
    ) -> None:
        self._words: list[int] = []
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
    def words(self) -> NDArray[np.int64]:
        """Word of each place, int64 (N,)."""
        return np.array(self._words)

    @cached_property
    def before(self) -> NDArray[np.bool_]:
        """Whether place j may come right before place i, bool (N, N) as [i, j]."""
        size = len(self._words)
        table = np.zeros((size, size), bool)
        for j, i in self._follows:
            table[i, j] = True
        return table

    def allows(self, ids: list[int]) -> bool:
        """Whether these words are a sentence of the grammar."""
        places = {place for place in self.first if ids and self._words[place] == ids[0]}
        for word in ids[1:]:
            places = {i for j, i in self._follows if j in places and self._words[i] == word}
        return bool(places & set(self.last))

    def search(self, likelihood: NDArray[np.float32]) -> Found:
        """Find the best sentence.

        Args:
            likelihood: log-probabilities (T, words) of CTC's frames.

        Returns:
            The sentence with the best alignment, at least one word long.
        """
        emitted = likelihood[:, self.words].astype(np.float64)
        blank = likelihood[:, BLANK].astype(np.float64)
        size = len(self._words)
        other_word = self.words[:, None] != self.words[None, :]
        from_word = np.where(self.before & other_word, 0.0, _NEVER)
        from_blank = np.where(self.before, 0.0, _NEVER)
        starts = np.full(size, _NEVER)
        starts[self.first] = 0.0
        # Rows: the word itself, and the blank after it.
        word, pause = starts + emitted[0], np.full(size, _NEVER)
        silence = blank[0]
        back_word = np.full((len(emitted), size), -2)
        back_pause = np.zeros((len(emitted), size), bool)
        for t in range(1, len(emitted)):
            via_word, via_pause = from_word + word, from_blank + pause
            j_word, j_pause = via_word.argmax(1), via_pause.argmax(1)
            rows = np.arange(size)
            choices = np.stack(
                [word, via_word[rows, j_word], via_pause[rows, j_pause], starts + silence]
            )
            best = choices.argmax(0)
            # -1 stays on the word, -2 starts, j comes from word j, size + j from the blank after j.
            back_word[t] = np.choose(best, [np.full(size, -1), j_word, size + j_pause, -2])
            back_pause[t] = word > pause
            pause = np.maximum(pause, word) + blank[t]
            word = choices.max(0) + emitted[t]
            silence = silence + blank[t]
        return self._trace(word, pause, back_word, back_pause)

    def _trace(
        self,
        word: NDArray[np.float64],
        pause: NDArray[np.float64],
        back_word: NDArray[np.int64],
        back_pause: NDArray[np.bool_],
    ) -> Found:
        last = np.array(self.last)
        place = int(last[np.maximum(word, pause)[last].argmax()])
        score, on_word = float(max(word[place], pause[place])), bool(word[place] >= pause[place])
        ids = [int(self.words[place])]
        for t in range(len(back_word) - 1, -1, -1):
            if not on_word:
                on_word = bool(back_pause[t, place])
                continue
            origin = int(back_word[t, place])
            if origin == -2:
                break
            if origin >= 0:
                place, on_word = origin % len(self.words), origin < len(self.words)
                ids.append(int(self.words[place]))
        return Found(tuple(reversed(ids)), score)

    def _build(self, pattern: Pattern) -> _Part:
        if isinstance(pattern, str):
            places = []
            for each in word_ids(pattern):
                places.append(len(self._words))
                self._words.append(each)
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


@lru_cache(maxsize=1)
def command_network() -> Network:
    """The network of everything that is said to the table."""
    before, after = COMMANDS
    return Network(before, STEP, JOINED, after, REPLIES)
