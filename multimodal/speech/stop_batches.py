"""Streams in which somebody says stop now and then, for the spotter to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.audio.log_mel import RATE_HZ
from multimodal.errors import DatasetError
from multimodal.speech.activity import CHUNK
from multimodal.speech.bands import recoloured
from multimodal.speech.corpus import Spoken, SpokenCommands, engine_weights
from multimodal.speech.disturb import Sound, echoed, hastened, level
from multimodal.speech.language import STOP_WORDS
from multimodal.speech.noises import Noises
from multimodal.speech.spotter import Hearing, spotter_power

__all__ = ["IGNORED", "StopStreams", "word_end"]

IGNORED: Final = -1.0
# Share of streams of nothing but babble.
_NOBODY: Final = 0.15
# Of speech of mean loudness to noise.
_RATIO_DB: Final = (2.0, 26.0)
# Powers of ten of the amplitude of speech of mean loudness.
_LEVELS: Final = (-2.5, -0.5)
_LEAST: Final = 1e-10
# From the first of these moments after the word's end to the second it may be reported.
_REPORT_S: Final = (0.08, 0.25)
_GAP_S: Final = (0.0, 0.9)
# Share of what is said that is a stop word, and one like it; the rest are sentences.
_STOPS: Final = 0.35
_LIKE: Final = 0.3
# More sentences than these are no other sounds, but memory.
_MOST_OTHERS: Final = 4000
_MOST_VOICES: Final = 1000


def word_end(sound: NDArray[np.float32]) -> int:
    """The sample after which a clean utterance is silent."""
    piece = RATE_HZ // 100
    whole = len(sound) // piece * piece
    loud = np.abs(sound[:whole].reshape(-1, piece)).max(1)
    above = np.flatnonzero(loud > 0.02 * max(1e-6, float(loud.max())))
    return int(above[-1] + 1) * piece if len(above) else len(sound)


class _Pool:
    """Utterances, cut where they end, drawn so that every engine is heard often."""

    def __init__(self, corpus: SpokenCommands, chosen: Sequence[Spoken]) -> None:
        self._sounds = []
        for each in chosen:
            sound = corpus.read(each)
            sound = sound[: word_end(sound)]
            # Half precision: it keeps what is quiet, unlike sixteen bits.
            self._sounds.append((sound / max(1e-6, level(sound))).astype(np.float16))
        self._weights = engine_weights(chosen)

    def draw(self, rng: np.random.Generator) -> Sound:
        """One of them, said otherwise, of level 1."""
        number = int(rng.choice(len(self._sounds), p=self._weights))
        return hastened(rng, self._sounds[number].astype(np.float32))


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
        self._seed, self._count, self._chunks = seed, count, chunks
        stops = [each for each in words.of(split) if each.text in STOP_WORDS]
        like = [each for each in words.of(split) if each.text not in STOP_WORDS]
        others = [each for each in commands.of(split) if not _says_stop(each.text)]
        if not stops or not others or not like:
            raise DatasetError(f"{words.folder} has no {split} speech: record it anew.")
        rng = np.random.default_rng((seed, 1))
        few = min(_MOST_OTHERS, len(others))
        others = [others[number] for number in rng.choice(len(others), few, replace=False)]
        self._stops, self._like = _Pool(words, stops), _Pool(words, like)
        self._others = _Pool(commands, others)
        voices = [commands.read(each) for each in others[:_MOST_VOICES]]
        self._noises = Noises(rng, voices)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """A stream: features float32 (N, 80), and labels float32 (N,): 1, 0, or IGNORED."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, 2, index))
        samples = self._chunks * CHUNK
        stream = np.zeros(samples, np.float32)
        labels = np.zeros(self._chunks, np.float32)
        # Now and then nobody speaks alone, and all there is is babble.
        nobody = rng.random() < _NOBODY
        place = samples if nobody else int(rng.uniform(0.0, 0.8) * RATE_HZ)
        while place < samples:
            speech, label = self._say(rng)
            end = min(samples, place + len(speech))
            loud = 10 ** rng.uniform(-0.3, 0.15)
            stream[place:end] += speech[: end - place] * np.float32(loud)
            if label:
                _label(labels, place, place + len(speech), label)
            place += len(speech) + int(rng.uniform(*_GAP_S) * RATE_HZ)
        if rng.random() < 0.4:
            stream = echoed(rng, stream)
        noise = (self._noises.babble if nobody else self._noises.draw)(rng, samples)
        stream = stream + noise * np.float32(10 ** (-rng.uniform(*_RATIO_DB) / 20))
        power = spotter_power(stream * np.float32(10 ** rng.uniform(*_LEVELS)))
        power[:, :-1] = 10 ** recoloured(rng, np.log10(power[:, :-1] + _LEAST))
        return {"features": torch.from_numpy(Hearing()(power)), "labels": torch.from_numpy(labels)}

    def _say(self, rng: np.random.Generator) -> tuple[Sound, float]:
        """Something of level 1, and its label: 1 for a stop word, IGNORED for a word like one.

        Whether it was "top" the recogniser's letters tell better; who learns to tell these apart
        takes a stranger's "halt" for something else.
        """
        kind = rng.random()
        if kind < _STOPS:
            return self._stops.draw(rng), 1.0
        if kind < _STOPS + _LIKE:
            return self._like.draw(rng), IGNORED
        return self._others.draw(rng), 0.0


def _says_stop(text: str) -> bool:
    return any(word in STOP_WORDS for word in text.split())


def _label(labels: NDArray[np.float32], start: int, end: int, label: float) -> None:
    """Label what is after the word's end; during the word and long after it nothing is asked."""
    first, last = (round((end + moment * RATE_HZ) / CHUNK) for moment in _REPORT_S)
    labels[(start + end) // 2 // CHUNK : first] = IGNORED
    labels[last : last + round(0.3 * RATE_HZ / CHUNK)] = IGNORED
    labels[first:last] = label
