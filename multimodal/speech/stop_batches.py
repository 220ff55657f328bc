"""Streams in which somebody says stop now and then, for the spotter to learn from."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.audio.log_mel import RATE_HZ
from multimodal.errors import DatasetError
from multimodal.speech.activity import CHUNK
from multimodal.speech.corpus import SpokenCommands
from multimodal.speech.disturb import (
    Sound,
    babble,
    coloured_noise,
    level,
    reverberate,
)
from multimodal.speech.language import STOP_WORDS

__all__ = ["IGNORED", "StopStreams", "word_end"]

IGNORED: Final = -1.0
_POOL_S = 120
# From the first of these moments after the word's end to the second it may be reported.
_REPORT_S: Final = (0.02, 0.22)
_GAP_S = (0.15, 0.9)


def word_end(sound: NDArray[np.float32]) -> int:
    """The sample after which a clean utterance is silent."""
    piece = RATE_HZ // 100
    whole = len(sound) // piece * piece
    loud = np.abs(sound[:whole].reshape(-1, piece)).max(1)
    above = np.flatnonzero(loud > 0.02 * max(1e-6, float(loud.max())))
    return int(above[-1] + 1) * piece if len(above) else len(sound)


class StopStreams(Dataset[dict[str, Tensor]]):
    """Streams; stream i depends on the seed and i alone.

    Args:
        words: single words, the stop words and others like them.
        commands: what else is said; some of it makes the babble.
        split: train, validation or test.
        seed: of the choice.
        count: how many streams there are.
        chunks: length of a stream in pieces of 512 samples.

    Raises:
        DatasetError: the split holds no stop words or no commands.
    """

    def __init__(
        self,
        words: SpokenCommands,
        commands: SpokenCommands,
        split: str,
        seed: int,
        count: int,
        chunks: int = 188,
    ) -> None:
        self._words, self._commands = words, commands
        self._seed, self._count, self._chunks = seed, count, chunks
        self._stops = [each for each in words.of(split) if each.text in STOP_WORDS]
        self._like = [each for each in words.of(split) if each.text not in STOP_WORDS]
        self._others = [each for each in commands.of(split) if not _says_stop(each.text)]
        if not self._stops or not self._others or not self._like:
            raise DatasetError(f"{words.folder} has no {split} speech: record it anew.")
        rng = np.random.default_rng((seed, 1))
        some = rng.choice(len(self._others), min(150, len(self._others)), replace=False)
        voices = [commands.read(self._others[number]) for number in some]
        self._babble = babble(rng, voices, _POOL_S * RATE_HZ)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """A stream: sound float32 (N · 512,), and labels float32 (N,): 1, 0, or IGNORED."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, 2, index))
        samples = self._chunks * CHUNK
        sound = np.zeros(samples, np.float32)
        labels = np.zeros(self._chunks, np.float32)
        place = int(rng.uniform(0.1, 0.8) * RATE_HZ)
        while place < samples:
            speech, stop = self._say(rng)
            end = min(samples, place + len(speech))
            sound[place:end] += speech[: end - place]
            if stop:
                _label(labels, place, place + word_end(speech))
            place += len(speech) + int(rng.uniform(*_GAP_S) * RATE_HZ)
        if rng.random() < 0.35:
            sound = reverberate(rng, sound, rng.uniform(0.1, 0.5))
        noise = self._noise(rng, samples) * np.float32(10 ** (-rng.uniform(3, 30) / 20))
        mixed = (sound + noise) * np.float32(10 ** rng.uniform(-1.9, -0.6))
        return {"sound": torch.from_numpy(mixed), "labels": torch.from_numpy(labels)}

    def _say(self, rng: np.random.Generator) -> tuple[Sound, bool]:
        """Something at level 1, and whether it is a stop word."""
        kind = rng.random()
        stop = kind < 0.4
        corpus = self._words if kind < 0.7 else self._commands
        pool = self._stops if stop else self._like if kind < 0.7 else self._others
        speech = _otherwise_said(rng, corpus.read(pool[int(rng.integers(len(pool)))]))
        return speech / max(1e-5, level(speech)), stop

    def _noise(self, rng: np.random.Generator, samples: int) -> Sound:
        if rng.random() < 0.5:
            start = int(rng.integers(len(self._babble) - samples))
            return self._babble[start : start + samples]
        return coloured_noise(rng, samples, float(rng.choice([0.0, 0.0, 0.4, 0.8])))


def _otherwise_said(rng: np.random.Generator, speech: Sound) -> Sound:
    """Played faster or slower: another pitch, another vocal tract, another tempo."""
    count = round(len(speech) * rng.uniform(0.82, 1.2))
    places = np.linspace(0, len(speech) - 1, count)
    return np.interp(places, np.arange(len(speech)), speech).astype(np.float32)


def _says_stop(text: str) -> bool:
    return any(word in STOP_WORDS for word in text.split())


def _label(labels: NDArray[np.float32], start: int, end: int) -> None:
    """Report after the word's end; during the word and long after it nothing is asked."""
    first = round((end + _REPORT_S[0] * RATE_HZ) / CHUNK)
    last = round((end + _REPORT_S[1] * RATE_HZ) / CHUNK)
    middle = (start + end) // 2
    labels[middle // CHUNK : first + 2] = IGNORED
    labels[last : last + round(0.3 * RATE_HZ / CHUNK)] = IGNORED
    labels[first + 2 : last] = 1.0
