"""The stop words: how many are caught, how soon, and how often one is heard that nobody said."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.audio.log_mel import RATE_HZ
from multimodal.speech.activity import CHUNK, CHUNK_S
from multimodal.speech.corpus import HEARD_SPEAKERS, SpokenCommands
from multimodal.speech.disturb import Sound, add_noise, babble, coloured_noise
from multimodal.speech.listener import StopSpotter
from multimodal.speech.stop_batches import word_end

__all__ = [
    "BABBLE_LEVEL",
    "WordInNoise",
    "caught_after_s",
    "events",
    "stop_figures",
    "word_in_noise",
]

_LEVELS_DB = (20, 10)
_BEFORE_S, _AFTER_S = 1.0, 1.0
# A report this long after the word's end is none.
_LATEST_S = 0.8
_BABBLE_MINUTES = 10
BABBLE_LEVEL = np.float32(0.05)
"""How loud babble is in which no stop word is said."""
_LOUDNESS = np.float32(0.3)
_ONE_EVENT = round(0.5 / CHUNK_S)


def stop_figures(
    spotter: StopSpotter, words: SpokenCommands, others: Sequence[Sound]
) -> dict[str, float]:
    """Measure a spotter on held-out voices.

    Args:
        spotter: what to measure.
        words: the stop words, one by one.
        others: other utterances of held-out voices, none with a stop word.

    Returns:
        stop_recall (at 10 and 20 dB, every voice that was not heard in training, engines and
        accents alike), stop_recall_engines (unheard engines only), stop_ms_p50 and _p95 (end of
        the word to the report, computing included), stop_false_per_10min (six voices at a time),
        stop_false_share (of ordinary utterances, one voice at a time).
    """
    delays: list[float] = []
    strangers: list[float] = []
    for number, spoken in enumerate(words.of("test")):
        if spoken.voice in HEARD_SPEAKERS:
            continue
        for level in _LEVELS_DB:
            rng = np.random.default_rng((number, level))
            delay = _delay_s(spotter, rng, words.read(spoken), level, others)
            delays.append(delay)
            if spoken.engine != "espeak-ng":
                strangers.append(delay)
    caught = [delay for delay in delays if np.isfinite(delay)]
    rng = np.random.default_rng(7)
    noise = babble(rng, others, _BABBLE_MINUTES * 60 * RATE_HZ) * BABBLE_LEVEL
    reported = [bool(events(_watch(spotter, each))) for each in others]
    return {
        "stop_recall": float(np.mean(np.isfinite(delays))),
        "stop_recall_engines": float(np.mean(np.isfinite(strangers))),
        # Where nothing was caught there is no time to tell.
        **{
            f"stop_ms_p{share}": 1000 * float(np.percentile(caught, share))
            for share in (50, 95)
            if caught
        },
        "stop_false_per_10min": float(len(events(_watch(spotter, noise)))),
        "stop_false_share": float(np.mean(reported)),
        "stop_words": float(len(delays)),
    }


def _delay_s(
    spotter: StopSpotter, rng: np.random.Generator, word: Sound, level: int, others: Sequence[Sound]
) -> float:
    """From the word's end to the report; infinite without one, or with one before the word."""
    said = word_in_noise(rng, word, level, None if rng.random() < 0.5 else others)
    took_s: list[float] = []
    reported = _watch(spotter, said.sound, took_s)
    return caught_after_s(reported, said.start_s, said.end_s, took_s)


class WordInNoise(NamedTuple):
    """A word with noise around and under it, and where it begins and ends."""

    sound: Sound
    start_s: float
    end_s: float


def word_in_noise(
    rng: np.random.Generator, word: Sound, level_db: float, others: Sequence[Sound] | None
) -> WordInNoise:
    """A single word as stop words are tested: a second of noise before it and one after.

    Args:
        rng: of the noise.
        word: a sound that begins with the word.
        level_db: of the word over the noise.
        others: utterances that babble is made of; None for coloured noise.
    """
    before, after = round(_BEFORE_S * RATE_HZ), round(_AFTER_S * RATE_HZ)
    padded = np.pad(word, (before, after))
    count = len(padded)
    noise = coloured_noise(rng, count) if others is None else babble(rng, others, count)
    mixed = add_noise(padded, noise, level_db) * _LOUDNESS
    return WordInNoise(mixed, before / RATE_HZ, (before + word_end(word)) / RATE_HZ)


def caught_after_s(
    reported: NDArray[np.bool_], start_s: float, end_s: float, took_s: Sequence[float]
) -> float:
    """From a word's end to the first report that is of it; infinite without one.

    Args:
        reported: whether each piece of the stream is reported.
        start_s: where the word begins; what is reported before is not of it.
        end_s: where it ends.
        took_s: seconds of computing for each piece.
    """
    for event in events(reported):
        at_s = (event + 1) * CHUNK_S + took_s[event]
        if start_s < at_s <= end_s + _LATEST_S:
            return max(0.0, at_s - end_s)
    return float("inf")


def _watch(
    spotter: StopSpotter, sound: Sound, took_s: list[float] | None = None
) -> NDArray[np.bool_]:
    """Whether each piece of a stream is reported; seconds of computing are added to `took_s`."""
    spotter.reset()
    reported = []
    whole = len(sound) // CHUNK * CHUNK
    for piece in torch.from_numpy(sound[:whole]).split(CHUNK):
        started = time.perf_counter()
        reported.append(spotter.push(piece) >= spotter.threshold)
        if took_s is not None:
            took_s.append(time.perf_counter() - started)
    return np.array(reported)


def events(reported: NDArray[np.bool_]) -> list[int]:
    """First pieces of what is reported; reports within half a second are one."""
    pieces = np.flatnonzero(reported).tolist()
    return pieces[:1] + [b for a, b in pairwise(pieces) if b - a > _ONE_EVENT]
