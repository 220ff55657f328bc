"""Rows to examine the native model with: held-out scenes, voices that were never heard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multimodal.audio.speech import SpeechCorpus, Utterance
from multimodal.audio.waveform import read_audio
from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.language import Question, Scene, ask
from multimodal.native import NativeReader
from multimodal.native.rows import spoken_question
from multimodal.sequence import Segment

__all__ = ["Spoken", "Written", "heard", "scenes_of", "spoken_cases", "written_cases"]

_RATE_HZ = 16_000
_MOST = 2


@dataclass(frozen=True, eq=False)
class Spoken:
    """A spoken question about a frame uint8 (H, W, 3), and who asks it."""

    frame: NDArray[np.uint8]
    question: Question
    utterance: Utterance


@dataclass(frozen=True, eq=False)
class Written:
    """A written question about a frame uint8 (H, W, 3)."""

    frame: NDArray[np.uint8]
    question: Question


def scenes_of(flat: FlatEpisodes, split: str, most: int = _MOST) -> list[int]:
    """First frames of a split's episodes that show one to `most` objects.

    Raises:
        DatasetError: there is none.
    """
    rows = [int(flat.starts[e]) for e in flat.episodes(split)]
    shown = [r for r in rows if 1 <= int((flat.state["object_shape"][r] >= 0).sum()) <= most]
    if not shown:
        raise DatasetError(f"{flat.path} has no {split} scene of one or two objects; record some.")
    return shown


def spoken_cases(
    flat: FlatEpisodes, corpus: SpeechCorpus, count: int, seed: int = 0
) -> list[Spoken]:
    """Spoken questions about held-out scenes, by the voices of the test split."""
    spoken: dict[str, list[Utterance]] = defaultdict(list)
    for each in corpus.of("test"):
        spoken[each.text].append(each)
    rng = np.random.default_rng([seed, 23])
    cases = []
    for row in rng.permutation(scenes_of(flat, "test")):
        found = spoken_question(Scene.from_state(flat.state, int(row)), rng, spoken)
        if found is not None:
            cases.append(Spoken(np.array(flat.frames[row]), *found))
    return cases[:count]


def written_cases(flat: FlatEpisodes, kinds: Sequence[str], count: int) -> list[Written]:
    """Written questions about held-out scenes in held-out paraphrases, some of each kind."""
    rng = np.random.default_rng(29)
    cases: list[Written] = []
    for kind in kinds:
        mine: list[Written] = []
        for row in rng.permutation(scenes_of(flat, "test")):
            scene = Scene.from_state(flat.state, int(row))
            asked = ask(kind, (scene,), rng, split="held_out")
            if asked is not None:
                mine.append(Written(np.array(flat.frames[row]), asked))
        cases += mine[:count]
    return cases


def heard(
    native: NativeReader, corpus: SpeechCorpus, utterances: Sequence[Utterance]
) -> list[Segment]:
    """Recorded sentences as the model hears them."""
    return [
        native.sound(read_audio(corpus.folder / each.file, _RATE_HZ), _RATE_HZ)
        for each in utterances
    ]
