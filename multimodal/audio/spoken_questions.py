"""Questions about a picture that are heard, not read: a small corpus by voices held apart."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import soundfile

from multimodal.atomic import atomic_write_bytes
from multimodal.audio.engines import Voice, available, speak
from multimodal.audio.speech import RATE_HZ, VOICES, SpeechCorpus, Utterance
from multimodal.audio.waveform import resample, write_wav
from multimodal.errors import MissingProgramError
from multimodal.language import COLOURS, SHAPES
from multimodal.language.phrasing import FAMILIES, HELD_OUT

__all__ = ["SPOKEN_FAMILIES", "record_questions", "spoken_texts"]

SPOKEN_FAMILIES: Final = ("colour.of_shape", "shape.of_colour", "count.objects")
_GAPS: Final[dict[str, list[dict[str, str]]]] = {
    "colour.of_shape": [{"thing": shape} for shape in SHAPES],
    "shape.of_colour": [{"colour": colour} for colour in COLOURS],
    "count.objects": [{}],
}
_INDEX = "index.json"
_FORMAT = 1


def spoken_texts(held_out: bool = False) -> list[str]:
    """All questions that are spoken: each paraphrase of training, or held out, with each word."""
    texts = []
    for name in SPOKEN_FAMILIES:
        sentences = FAMILIES[name].sentences
        chosen = sentences[-HELD_OUT:] if held_out else sentences[:-HELD_OUT]
        texts += [sentence.format(**gap) for sentence in chosen for gap in _GAPS[name]]
    return list(dict.fromkeys(texts))


def record_questions(folder: Path | str, each: int, seed: int = 0) -> SpeechCorpus:
    """Let voices ask, or open what they asked before.

    Training voices say the training paraphrases; validation and test voices say both those and the
    held-out ones. No voice is in two splits.

    Args:
        folder: of the corpus.
        each: how many training voices say a question; validation and test take a quarter of it.
        seed: of the choice of voices, speeds and pitches.

    Raises:
        MissingProgramError: espeak-ng is not installed.
        DiskFullError: the disk is full; the next run goes on.
    """
    folder = Path(folder)
    if (folder / _INDEX).exists():
        return SpeechCorpus.open(folder)
    if not available("espeak-ng"):
        raise MissingProgramError("espeak-ng asks the questions: `apt-get install espeak-ng`.")
    spoken: list[Utterance] = []
    for split, voices in VOICES.items():
        usable = [v for v in voices if v.engine != "festival" and available(v.engine)]
        texts = spoken_texts() if split == "train" else [*spoken_texts(), *spoken_texts(True)]
        count = each if split == "train" else max(1, each // 4)
        spoken += _say_all(folder, split, usable, texts, count, seed)
    index = {"format": _FORMAT, "seed": seed, "utterances": [asdict(one) for one in spoken]}
    atomic_write_bytes(folder / _INDEX, (json.dumps(index, indent=1) + "\n").encode())
    return SpeechCorpus.open(folder)


def _say_all(
    folder: Path, split: str, voices: Sequence[Voice], texts: Sequence[str], count: int, seed: int
) -> list[Utterance]:
    rng = random.Random(f"{seed}/{split}")
    said = []
    for number, text in enumerate(texts):
        for voice in rng.sample(list(voices), min(count, len(voices))):
            speed, pitch = rng.uniform(0.9, 1.3), rng.randint(25, 75)
            name = f"{split}/{voice.engine}-{voice.name}/{number:04d}.wav"
            path = folder / name
            if not path.exists():
                audio, rate_hz = speak(text, voice, speed, pitch)
                path.parent.mkdir(parents=True, exist_ok=True)
                audio = resample(audio, rate_hz, RATE_HZ)
                write_wav(path, audio / max(1.0, float(audio.abs().max())), RATE_HZ)
            samples = int(soundfile.info(path).frames)
            said.append(Utterance(name, split, voice.engine, voice.name, text, samples))
    return said
