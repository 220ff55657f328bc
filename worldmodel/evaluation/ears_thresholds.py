"""Where the spotter's thresholds come from: stop words and babble of voices that are no test's.

Suspicion and agreement are computed once for every piece of sound; each pair of thresholds is then
a comparison. The stop words are of validation's voices alone, for those of training are all caught;
the babble is of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.audio.log_mel import RATE_HZ
from multimodal.errors import ConfigError, DatasetError
from multimodal.speech.activity import CHUNK, CHUNK_S
from multimodal.speech.confirmed import WINDOW, agreement, asked, confidence
from multimodal.speech.corpus import Spoken, SpokenCommands
from multimodal.speech.disturb import Sound, babble
from multimodal.speech.language import STOP_WORDS
from multimodal.speech.model import SpeechModel
from multimodal.speech.spotter import Hearing, SpotterModel, spotter_power
from worldmodel.evaluation.ears_stop import BABBLE_LEVEL, caught_after_s, events, word_in_noise

__all__ = ["Choice", "Streams", "Trace", "best_choice", "chosen_thresholds", "judged", "traced"]

_SUSPICIONS: Final = (0.01, 0.02, 0.05, 0.1, 0.2)
_THRESHOLDS: Final = tuple(round(0.02 * 1.12**step, 3) for step in range(33))
_CONDITIONS: Final = ((10, True), (10, False), (20, True))
_WORDS_EACH: Final = 48
_BABBLE_VOICES: Final = 400
_ORDINARY: Final = 240
_ALIKE: Final = 240
_ALIKE_DB: Final = 20.0
# What is asked of recall, of false stops in ten minutes and of ordinary sentences taken for a stop.
_MOST_MISSED: Final = 0.01
_MOST_FALSE: Final = 1.0
_MOST_ORDINARY: Final = 0.005
_COMPUTING_S: Final = 0.01
_AT_ONCE: Final = 32


@dataclass(frozen=True)
class Choice:
    """Thresholds and what they give on the voices that they were chosen on.

    Attributes:
        suspicion: the spotter's probability from which on the recogniser is asked.
        threshold: confidence from which on a stop is reported.
        recall: share of stop words that are caught, at 10 dB in babble and in white noise and at
            20 dB in babble.
        false_per_10min: stops heard in babble without any.
        false_share: of ordinary sentences, said by one voice, in which a stop is heard.
        alike_share: of single words like a stop word ("top", "salt"), at 20 dB, that are taken for
            one; the choice does not depend on it.
        asked_per_s: how often the recogniser is asked in babble.
    """

    suspicion: float
    threshold: float
    recall: float
    false_per_10min: float
    false_share: float
    alike_share: float
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
        agreed = np.where(asked(self.suspicion, suspicion), self.agreement, 0.0)
        made: NDArray[np.bool_] = confidence(self.suspicion, agreed) >= threshold
        return made


@dataclass(frozen=True)
class Streams:
    """What thresholds are judged on.

    Attributes:
        said: streams with a stop word each.
        noise: streams of babble without any.
        ordinary: sentences without any.
        alike: streams with a word like a stop word each.
        minutes: how long `noise` is altogether.
    """

    said: Sequence[Trace]
    noise: Sequence[Trace]
    ordinary: Sequence[Trace]
    alike: Sequence[Trace]
    minutes: int


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
    wanted = np.flatnonzero(asked(suspicion, least))
    for first in range(0, len(wanted), _AT_ONCE):
        some = wanted[first : first + _AT_ONCE]
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
        words: single words, of the split validation.
        commands: what the babble says, and the ordinary sentences, those of its split validation.
        minutes: of babble.
        seed: of words and noise.

    Returns:
        The choice, and all pairs that were tried.

    Raises:
        ConfigError: less than a minute of babble.
        DatasetError: no stop word, or no sentence without one, of the split validation.
    """
    if minutes < 1:
        raise ConfigError(f"{minutes} minutes of babble hold no false stop: ask for one at least.")
    rng = np.random.default_rng(seed)
    unstopped = [each for each in commands.utterances if each.split != "test" and not _stops(each)]
    others = [commands.read(each) for each in _some(rng, unstopped, _BABBLE_VOICES)]
    spoken_words, sentences = _words(rng, words), [e for e in unstopped if e.split == "validation"]
    if not spoken_words or not sentences:
        raise DatasetError(
            f"{words.folder} has {len(spoken_words)} stop words and {commands.folder} "
            f"{len(sentences)} other sentences of the split validation; thresholds are chosen on "
            "these. Name the folder that `worldmodel train objective=spotter` recorded."
        )
    said = []
    for spoken in spoken_words:
        for level, crowd in _CONDITIONS:
            heard = word_in_noise(rng, words.read(spoken), level, others if crowd else None)
            trace = traced(spotter, model, heard.sound)
            said.append(Trace(*trace, heard.start_s, heard.end_s))
    murmur = babble(rng, others, minutes * 60 * RATE_HZ) * BABBLE_LEVEL
    noise = [Trace(*traced(spotter, model, each)) for each in np.array_split(murmur, minutes)]
    ordinary = [
        Trace(*traced(spotter, model, commands.read(each)))
        for each in _some(rng, sentences, _ORDINARY)
    ]
    alike = []
    for spoken in _some(rng, _like(words), _ALIKE):
        heard = word_in_noise(rng, words.read(spoken), _ALIKE_DB, None)
        alike.append(Trace(*traced(spotter, model, heard.sound)))
    streams = Streams(said, noise, ordinary, alike, minutes)
    tried = [
        judged(streams, suspicion, threshold)
        for suspicion in _SUSPICIONS
        for threshold in _THRESHOLDS
    ]
    return best_choice(tried), tried


def best_choice(tried: Sequence[Choice]) -> Choice:
    """The thresholds whose worst figure, in units of what is asked of it, is the least bad.

    Stops that are missed, stops that babble gives and those that ordinary sentences give are
    weighed against each other as the targets are. Of equal pairs those with the least sum are left,
    of these those with the highest suspicion, which asks least, and of these the middle threshold,
    the farthest from either mistake.
    """

    def cost(each: Choice) -> tuple[float, float, float]:
        shares = (
            (1 - each.recall) / _MOST_MISSED,
            each.false_per_10min / _MOST_FALSE,
            each.false_share / _MOST_ORDINARY,
        )
        return max(shares), sum(shares), -each.suspicion

    least = min(map(cost, tried))
    equal = sorted((each for each in tried if cost(each) == least), key=lambda it: it.threshold)
    return equal[(len(equal) - 1) // 2]


def judged(streams: Streams, suspicion: float, threshold: float) -> Choice:
    """What a pair of thresholds would give.

    Args:
        streams: what was heard.
        suspicion: from which on the recogniser is asked.
        threshold: confidence from which on a stop is reported.
    """

    def reported(each: Trace) -> NDArray[np.bool_]:
        return each.reported(suspicion, threshold)

    caught = [
        np.isfinite(
            caught_after_s(
                reported(each),
                each.start_s,
                each.end_s,
                [_COMPUTING_S] * len(each.suspicion),
            )
        )
        for each in streams.said
    ]
    false = sum(len(events(reported(each))) for each in streams.noise)
    often = np.concatenate([asked(each.suspicion, suspicion) for each in streams.noise]).mean()
    return Choice(
        suspicion,
        threshold,
        recall=float(np.mean(caught)),
        false_per_10min=10 * false / streams.minutes,
        false_share=float(np.mean([reported(each).any() for each in streams.ordinary])),
        alike_share=float(np.mean([reported(each).any() for each in streams.alike])),
        asked_per_s=float(often) / CHUNK_S,
    )


def _words(rng: np.random.Generator, words: SpokenCommands) -> list[Spoken]:
    """As many stop words of each engine, in voices that were not heard in training."""
    groups: dict[str, list[Spoken]] = {}
    for each in words.of("validation"):
        if each.text in STOP_WORDS:
            groups.setdefault(each.engine, []).append(each)
    return [each for group in groups.values() for each in _some(rng, group, _WORDS_EACH)]


def _like(words: SpokenCommands) -> list[Spoken]:
    """Words that are none, in voices that were not heard in training."""
    return [each for each in words.of("validation") if each.text not in STOP_WORDS]


def _stops(spoken: Spoken) -> bool:
    return any(word in STOP_WORDS for word in spoken.text.split())


def _some(rng: np.random.Generator, each: Sequence[Spoken], count: int) -> list[Spoken]:
    picked = rng.choice(len(each), min(count, len(each)), replace=False)
    return [each[number] for number in picked]
