"""`worldmodel evaluate model=ears`: commands, stop words and silence, from engines never heard.

A command counts as understood where the steps that are parsed from what was heard are those that
were said: objects, places and their order. The same utterances are heard clean and in noise, white
for one half and the babble of other held-out voices for the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torchmetrics.functional.text import word_error_rate

from multimodal.audio.log_mel import RATE_HZ
from multimodal.audio.waveform import read_audio
from multimodal.errors import DatasetError
from multimodal.speech.corpus import HEARD_SPEAKERS, Spoken, SpokenCommands, record_commands
from multimodal.speech.disturb import Sound, add_noise, babble, coloured_noise
from multimodal.speech.language import normal_text, parse_command
from multimodal.speech.recognisers import load_recogniser
from multimodal.speech.transcript import Recogniser
from worldmodel.ears import load_ears
from worldmodel.evaluation.ears_page import write_page
from worldmodel.evaluation.ears_stop import stop_figures
from worldmodel.evaluation.ears_stream import nothing_figures, stream_figures
from worldmodel.intervals import mean_figure
from worldmodel.runs import RunDirectory

__all__ = ["evaluate"]

_LEVELS_DB = (None, 20, 10, 5)
_SILENCE_S = 0.3
_TRANSCRIPTS = "transcripts.tsv"


@dataclass(frozen=True)
class Heard:
    """One utterance as it was understood.

    Attributes:
        group: the engine, or `recordings`.
        voice: who spoke.
        ratio_db: speech to noise; None for clean.
        noise: which noise.
        said: the truth.
        text: what was understood.
        match: whether both ask for the same.
        confidence: of the recogniser.
        factor: seconds of computing for a second of sound.
    """

    group: str
    voice: str
    ratio_db: int | None
    noise: str
    said: str
    text: str
    match: bool
    confidence: float
    factor: float


def evaluate(cfg: DictConfig, directory: RunDirectory) -> dict[str, float]:
    """Measure ears and write `ears.json` and `index.html`.

    Args:
        cfg: of the verb `evaluate`; `cfg.recogniser` names another recogniser to measure instead of
            the one in `cfg.checkpoint`, without the stop words.
        directory: the run's folder.

    Returns:
        The figures of `metrics.json`. `command_match_*` and `wer_*` are over voices whose engine
        and speaker were never heard in training; the same with an engine's name are over all of
        its held-out voices.

    Raises:
        CheckpointError: the checkpoint is missing, altered, or not ears.
        DatasetError: `recordings` has no transcripts.
        MissingProgramError: the held-out speech has to be made and espeak-ng is not installed.
    """
    ears = load_ears(cfg.checkpoint or "ears")
    recogniser: Recogniser = load_recogniser(cfg.recogniser) if cfg.recogniser else ears.recogniser
    corpus = record_commands(cfg.commands, {"test": int(cfg.sentences)})
    heard = list(_understood(recogniser, corpus))
    if cfg.recordings is not None:
        heard += _recordings(recogniser, Path(cfg.recordings))
    figures, report = _command_figures(heard, cfg.resamples)
    figures["real_time_factor"] = float(np.median([each.factor for each in heard]))
    others = [corpus.read(each) for each in corpus.of("test")]
    figures |= stream_figures(recogniser, corpus)
    figures |= nothing_figures(recogniser, others)
    if not cfg.recogniser:
        # The stop words are heard by the checkpoint's spotter, whatever understands the commands.
        words = record_commands(f"{cfg.commands}-words", {"test": int(cfg.sentences)}, kind="words")
        figures |= stop_figures(ears.spotter, words, others)
    report["figures"] = figures
    report["missed"] = [vars(each) for each in heard if not each.match]
    directory.write_json("ears.json", report)
    write_page(directory.path, report)
    return figures


def _understood(recogniser: Recogniser, corpus: SpokenCommands) -> Iterable[Heard]:
    utterances = corpus.of("test")
    sounds = [corpus.read(each) for each in utterances]
    for number, (spoken, sound) in enumerate(zip(utterances, sounds, strict=True)):
        margin = round(_SILENCE_S * RATE_HZ)
        padded = np.pad(sound, (margin, margin))
        strangers = [
            other
            for each, other in zip(utterances, sounds, strict=True)
            if each.voice != spoken.voice
        ]
        kind = ("white", "babble")[number % 2]
        for level in _LEVELS_DB:
            rng = np.random.default_rng((number, level or 99))
            mixed = (
                padded
                if level is None
                else add_noise(padded, _noise(rng, kind, len(padded), strangers), level)
            )
            yield _understand(recogniser, spoken, mixed, level, kind)


def _noise(rng: np.random.Generator, kind: str, samples: int, others: Sequence[Sound]) -> Sound:
    return coloured_noise(rng, samples) if kind == "white" else babble(rng, others, samples)


def _understand(
    recogniser: Recogniser, spoken: Spoken, sound: Sound, level: int | None, kind: str
) -> Heard:
    made = recogniser.transcribe(torch.from_numpy(sound), RATE_HZ)
    return Heard(
        spoken.engine,
        spoken.voice,
        level,
        "none" if level is None else kind,
        spoken.text,
        made.text,
        parse_command(made.text) == parse_command(spoken.text),
        made.confidence,
        made.took_s * RATE_HZ / len(sound),
    )


def _recordings(recogniser: Recogniser, folder: Path) -> list[Heard]:
    """Anybody's recordings: `transcripts.tsv` has a file and what is said in it on each line."""
    path = folder / _TRANSCRIPTS
    if not path.is_file():
        raise DatasetError(
            f"recordings={folder} lacks {_TRANSCRIPTS}: on each line the name of a sound file, a "
            "tab, and what is said in it."
        )
    heard = []
    for line in filter(None, path.read_text(encoding="utf-8").splitlines()):
        name, _, text = line.partition("\t")
        if not text.strip():
            raise DatasetError(f"{path}: {line!r} is not a file, a tab and what is said.")
        sound = read_audio(folder / name, RATE_HZ).numpy()
        spoken = Spoken(name, "test", "recordings", name, normal_text(text), 0, len(sound))
        heard.append(_understand(recogniser, spoken, sound, None, "none"))
    if not heard:
        raise DatasetError(f"{path} names no recording.")
    return heard


def _command_figures(
    heard: Sequence[Heard], resamples: int
) -> tuple[dict[str, float], dict[str, Any]]:
    strangers = [each for each in heard if _is_stranger(each)]
    groups = {"": strangers}
    for each in heard:
        groups.setdefault(f"_{each.group.replace('-ng', '')}", []).append(each)
    figures: dict[str, float] = {}
    table = []
    for group, members in groups.items():
        for level in _LEVELS_DB:
            rows = [each for each in members if each.ratio_db == level]
            if not rows:
                continue
            name = f"{'clean' if level is None else f'{level}db'}{group}"
            match = mean_figure(np.array([each.match for each in rows]), resamples)
            wer = float(word_error_rate([e.text for e in rows], [e.said for e in rows]))
            figures |= {f"command_match_{name}": match["value"], f"wer_{name}": wer}
            if not group:
                figures[f"command_match_{name}_low"] = match["low"]
                figures[f"command_match_{name}_high"] = match["high"]
            table.append({"group": group.strip("_") or "unheard engines", "level": level,
                          "match": match, "wer": wer})  # fmt: skip
    for noise in ("white", "babble"):
        for level in (10, 5):
            rows = [e for e in strangers if e.ratio_db == level and e.noise == noise]
            if rows:
                figures[f"command_match_{level}db_{noise}"] = float(
                    np.mean([e.match for e in rows])
                )
    figures["commands"] = float(len({(e.voice, e.said) for e in strangers}))
    return figures, {"table": table, "voices": sorted({(e.group, e.voice) for e in heard})}


def _is_stranger(each: Heard) -> bool:
    return each.group not in ("espeak-ng", "recordings") and each.voice not in HEARD_SPEAKERS
