"""Where the spotter's thresholds come from: stop words and babble of voices that are no test's.

Suspicion and agreement are computed once for every piece of sound; each pair of thresholds is then
a comparison. Words of the validation's voices count as much as those of the training's engines,
without which there would be one engine only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.audio.log_mel import RATE_HZ
from multimodal.errors import ConfigError
from multimodal.speech.activity import CHUNK, CHUNK_S
from multimodal.speech.confirmed import WINDOW, agreement
from multimodal.speech.corpus import Spoken, SpokenCommands
from multimodal.speech.disturb import Sound, babble
from multimodal.speech.language import STOP_WORDS
from multimodal.speech.model import SpeechModel
from multimodal.speech.spotter import Hearing, SpotterModel, spotter_power
from worldmodel.evaluation.ears_stop import BABBLE_LEVEL, caught_after_s, events, word_in_noise

__all__ = ["Choice", "Trace", "best_choice", "chosen_thresholds", "judged", "traced"]

_SUSPICIONS: Final = (0.005, 0.01, 0.02, 0.04, 0.06, 0.1)
_THRESHOLDS: Final = tuple(round(0.4 + 0.05 * step, 2) for step in range(10))
_CONDITIONS: Final = ((10, True), (10, False), (20, True))
_WORDS_EACH: Final = 24
_BABBLE_VOICES: Final = 400
_MOST_FALSE: Final = 1.0
_COMPUTING_S: Final = 0.01
_AT_ONCE: Final = 32


@dataclass(frozen=True)
class Choice:
    """Thresholds and what they give on the voices that they were chosen on.

    Attributes:
        suspicion: the spotter's probability from which on the recogniser is asked.
        threshold: agreement from which on a stop is reported.
        recall: share of stop words that are caught, at 10 dB in babble and in white noise and at
            20 dB in babble.
        false_per_10min: stops heard in babble without any.
        asked_per_s: how often the recogniser is asked in babble.
    """

    suspicion: float
    threshold: float
    recall: float
    false_per_10min: float
    asked_per_s: float


@dataclass(frozen=True)
class Trace:
    """What a spotter and a recogniser thought of each piece of a stream.

    Attributes:
        suspicion: the spotter's probability, (N,).
        agreement: the recogniser's, (N,).
        start_s: where the stop word begins, where one is said.
        end_s: where it ends.
    """

    suspicion: NDArray[np.float32]
    agreement: NDArray[np.float64]
    start_s: float = 0.0
    end_s: float = 0.0

    def reported(self, suspicion: float, threshold: float) -> NDArray[np.bool_]:
        """Whether each piece would be reported with these thresholds."""
        made: NDArray[np.bool_] = (self.suspicion >= suspicion) & (self.agreement >= threshold)
        return made


@torch.inference_mode()
def traced(
    spotter: SpotterModel, model: SpeechModel, sound: Sound, least: float = min(_SUSPICIONS)
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """What a `ConfirmedSpotter` would see in each whole piece of a stream.

    Args:
        spotter: suspects.
        model: confirms.
        sound: float32 (S,) at 16 kHz.
        least: suspicion below which nobody is asked.

    Returns:
        Suspicion and agreement (N,); agreement is 0 where nobody was asked.
    """
    pieces = len(sound) // CHUNK
    sound = np.ascontiguousarray(sound[: pieces * CHUNK], np.float32)
    features = torch.from_numpy(Hearing()(spotter_power(sound)))
    suspicion: NDArray[np.float32] = spotter(features[None])[0].sigmoid().numpy()
    agreed = np.zeros(pieces)
    padded = torch.from_numpy(np.concatenate([np.zeros(WINDOW, np.float32), sound]))
    asked = np.flatnonzero(suspicion >= least)
    for first in range(0, len(asked), _AT_ONCE):
        some = asked[first : first + _AT_ONCE]
        ends = [int(piece + 1) * CHUNK for piece in some]
        agreed[some] = agreement(model, torch.stack([padded[e : e + WINDOW] for e in ends]))
    return suspicion, agreed


def chosen_thresholds(
    spotter: SpotterModel,
    model: SpeechModel,
    words: SpokenCommands,
    commands: SpokenCommands,
    minutes: int = 10,
    seed: int = 0,
) -> tuple[Choice, list[Choice]]:
    """Try all pairs of thresholds and choose one; see `best_choice`.

    Args:
        spotter: suspects.
        model: confirms.
        words: single words, of the splits train and validation.
        commands: what the babble says.
        minutes: of babble.
        seed: of words and noise.

    Returns:
        The choice, and all pairs that were tried.

    Raises:
        ConfigError: less than a minute of babble.
    """
    if minutes < 1:
        raise ConfigError(f"{minutes} minutes of babble hold no false stop: ask for one at least.")
    rng = np.random.default_rng(seed)
    others = [
        commands.read(each)
        for each in _some(rng, [e for e in _heard(commands) if not _stops(e)], _BABBLE_VOICES)
    ]
    said = []
    for spoken in _words(rng, words):
        for level, crowd in _CONDITIONS:
            heard = word_in_noise(rng, words.read(spoken), level, others if crowd else None)
            trace = traced(spotter, model, heard.sound)
            said.append(Trace(*trace, heard.start_s, heard.end_s))
    murmur = babble(rng, others, minutes * 60 * RATE_HZ) * BABBLE_LEVEL
    noise = [Trace(*traced(spotter, model, each)) for each in np.array_split(murmur, minutes)]
    tried = [
        judged(said, noise, suspicion, threshold, minutes)
        for suspicion in _SUSPICIONS
        for threshold in _THRESHOLDS
    ]
    return best_choice(tried), tried


def best_choice(tried: Sequence[Choice]) -> Choice:
    """The thresholds of highest recall with at most one false stop in ten minutes of babble.

    Of equal recall the fewest false stops win, of these the lowest threshold and the highest
    suspicion. Where no pair has so few false stops, the fewest win.
    """
    most = max(_MOST_FALSE, min(each.false_per_10min for each in tried))
    few = [each for each in tried if each.false_per_10min <= most]
    return max(few, key=lambda e: (e.recall, -e.false_per_10min, -e.threshold, e.suspicion))


def judged(
    said: Sequence[Trace],
    noise: Sequence[Trace],
    suspicion: float,
    threshold: float,
    minutes: int,
) -> Choice:
    """What a pair of thresholds would give.

    Args:
        said: streams with a stop word each.
        noise: streams of babble without any.
        suspicion: from which on the recogniser is asked.
        threshold: agreement from which on a stop is reported.
        minutes: how long `noise` is altogether.
    """
    caught = [
        np.isfinite(
            caught_after_s(
                each.reported(suspicion, threshold),
                each.start_s,
                each.end_s,
                [_COMPUTING_S] * len(each.suspicion),
            )
        )
        for each in said
    ]
    false = sum(len(events(each.reported(suspicion, threshold))) for each in noise)
    asked = float(np.mean(np.concatenate([e.suspicion for e in noise]) >= suspicion)) / CHUNK_S
    return Choice(suspicion, threshold, float(np.mean(caught)), 10 * false / minutes, asked)


def _words(rng: np.random.Generator, words: SpokenCommands) -> list[Spoken]:
    """As many stop words of the validation as of each engine of the training."""
    groups: dict[str, list[Spoken]] = {}
    for each in _heard(words):
        if each.text in STOP_WORDS:
            name = each.engine if each.split == "train" else each.split
            groups.setdefault(name, []).append(each)
    return [each for group in groups.values() for each in _some(rng, group, _WORDS_EACH)]


def _heard(corpus: SpokenCommands) -> list[Spoken]:
    return [each for each in corpus.utterances if each.split in ("train", "validation")]


def _stops(spoken: Spoken) -> bool:
    return any(word in STOP_WORDS for word in spoken.text.split())


def _some(rng: np.random.Generator, each: Sequence[Spoken], count: int) -> list[Spoken]:
    picked = rng.choice(len(each), min(count, len(each)), replace=False)
    return [each[number] for number in picked]
