"""The stages `recogniser` and `spotter` of `worldmodel train`: ears for spoken commands."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from multimodal.audio.log_mel import RATE_HZ
from multimodal.speech.batches import SpeechBatches, first_of
from multimodal.speech.corpus import SpokenCommands, record_commands, together
from multimodal.speech.model import SpeechModel, speech_config
from multimodal.speech.spotter import SpotterModel
from multimodal.speech.stop_batches import StopStreams
from worldmodel.objectives.recogniser import RecogniserObjective
from worldmodel.objectives.spotter import SpotterObjective
from worldmodel.training.processes import first_process_first
from worldmodel.training.work import Work

if TYPE_CHECKING:
    from worldmodel.training.stages import Source

__all__ = ["ears_data", "recogniser_work", "spotter_work"]

# Random batches are drawn with their number as the seed; so many differ before they come again.
_DRAWS = 2**20
_VALIDATION_BATCHES = 6
_VALIDATION_STREAMS = 64


def _corpus(source: Source) -> SpokenCommands:
    """The commands in `cfg.commands`, made now where they are not there yet."""
    with first_process_first():
        each = int(source.cfg.size.budget.recogniser.sentences)
        wanted = {"train": each, "validation": max(1, each // 4)}
        return record_commands(source.cfg.commands, wanted)


def _words(source: Source) -> SpokenCommands:
    """The stop words and others like them, one by one."""
    with first_process_first():
        each = int(source.cfg.size.budget.spotter.sentences)
        wanted = {"train": each, "validation": each}
        return record_commands(f"{source.cfg.commands}-words", wanted, kind="words")


def ears_data(source: Source) -> dict[str, Any]:
    """What the ears hear: number of utterances, minutes and voices for each engine."""
    corpus = _corpus(source)
    digest = hashlib.sha256()
    for each in (*corpus.utterances, *_words(source).utterances):
        digest.update(f"{each.file}|{each.start}|{each.samples}|{each.text}\n".encode())
    heard = corpus.of("train")
    return {
        "id": Path(source.cfg.commands).name,
        "fingerprint": digest.hexdigest()[:16],
        "utterances": len(heard),
        "minutes": round(sum(each.samples for each in heard) / RATE_HZ / 60, 1),
        "voices": dict(Counter(engine for engine, _ in {(e.engine, e.voice) for e in heard})),
    }


def recogniser_work(source: Source) -> Work:
    """The text of an utterance, in rooms and noise; single words too, which have no context."""
    size = source.cfg.size
    architecture: Any = OmegaConf.to_container(size.recogniser, resolve=True)
    budget = size.budget.recogniser
    corpus, seconds = _corpus(source), float(budget.seconds)
    least_db, greatest_db = (float(each) for each in budget.ratio_db)
    heard = together(corpus, _words(source))

    def build() -> RecogniserObjective:
        model = source.started("recogniser", SpeechModel(speech_config(**architecture)))
        return RecogniserObjective(model)

    return Work(
        build,
        SpeechBatches(
            heard,
            "train",
            source.cfg.seed,
            _DRAWS,
            seconds,
            ratio_db=(least_db, greatest_db),
            easy=float(budget.easy),
        ),
        SpeechBatches(corpus, "validation", 0, _VALIDATION_BATCHES, seconds, varied=False),
        first_of,
    )


def spotter_work(source: Source) -> Work:
    """When somebody has said stop."""
    size = source.cfg.size
    words = _words(source)
    commands = _corpus(source)

    def build() -> SpotterObjective:
        return SpotterObjective(source.started("spotter", SpotterModel(int(size.spotter.width))))

    return Work(
        build,
        StopStreams(words, commands, "train", source.cfg.seed, _DRAWS),
        StopStreams(words, commands, "validation", 0, _VALIDATION_STREAMS),
    )
