"""English as speakers of other languages say it, put together from recordings of their own.

Debian packs the diphones of real people from other countries for festival, and SVOX Pico speaks
German, French and Spanish too. Festival's American voice says which sounds an English text
has, how long each is and how high; each sound becomes the likest ones of the other language, as it
does in an accent; and the foreign voice says these. The speakers are as unlike each other as people
are.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import islice, takewhile
from pathlib import Path
from typing import Final
from xml.sax.saxutils import quoteattr

import soundfile
import torch
from torch import Tensor

from multimodal.audio import pico_says
from multimodal.audio.accents import Sound, accented
from multimodal.errors import AudioError

__all__ = ["SPEAKERS", "Speaker", "installed", "pico_speech", "pronounced", "say_foreign"]

_TIMEOUT_S: Final = 300
_NAMES_OF_VOICES: Final = '(mapcar (lambda (each) (format t "%s\\n" (car each))) voice-locations)'
# The voice whose sounds and melody are taken, and its mean pitch in hertz.
_MODEL: Final = "kal_diphone"
_MODEL_HZ: Final = 105.0


@dataclass(frozen=True)
class Speaker:
    """Who speaks.

    Attributes:
        accent: the language, one of `multimodal.audio.accents.ACCENTS`.
        package: Debian's package; empty for a voice of Pico's.
        mean_hz: how high the voice is.
    """

    accent: str
    package: str
    mean_hz: float = 0.0


SPEAKERS: Final[Mapping[str, Speaker]] = {
    "czech_dita": Speaker("czech", "festvox-czech-dita", 222),
    "czech_krb": Speaker("czech", "festvox-czech-krb", 258),
    "czech_machac": Speaker("czech", "festvox-czech-machac", 85),
    "czech_ph": Speaker("czech", "festvox-czech-ph", 136),
    "lp_diphone": Speaker("italian", "festvox-italp16k", 190),
    "pc_diphone": Speaker("italian", "festvox-itapc16k", 115),
    "suo_fi_lj_diphone": Speaker("finnish", "festvox-suopuhe-lj", 190),
    "hy_fi_mv_diphone": Speaker("finnish", "festvox-suopuhe-mv", 110),
    "telugu_NSK_diphone": Speaker("telugu", "festival-te festvox-te-nsk", 120),
    "de-DE": Speaker("de-DE", ""),
    "es-ES": Speaker("es-ES", ""),
    "fr-FR": Speaker("fr-FR", ""),
}
"""Speakers by festival's name of the voice, and Pico's by theirs."""


_PRONOUNCE: Final = (
    f"(voice_{_MODEL})"
    + """
(define (sounds utt)
  (mapcar (lambda (step) (step utt))
    (list Initialize Text Token_POS Token POS Phrasify Word Pauses Intonation PostLex Duration
          Int_Targets))
  (mapcar
    (lambda (sound)
      (format t "%s %s %s" (item.name sound) (item.feat sound "end")
        (item.feat sound "R:SylStructure.parent.parent.name"))
      (mapcar (lambda (target) (format t " %s:%s" (item.feat target "pos") (item.feat target "f0")))
        (item.relation.daughters sound "Target"))
      (format t "\\n"))
    (utt.relation.items utt 'Segment))
  (format t "\\n"))
"""
)


def pronounced(texts: Sequence[str]) -> list[list[Sound]]:
    """What festival's American voice would say, without saying it.

    Args:
        texts: English.

    Returns:
        The sounds of each text, silences included.

    Raises:
        AudioError: festival failed, or found nothing to say in a text.
    """
    lines = [_PRONOUNCE]
    for text in texts:
        said = text.replace("\\", " ").replace('"', " ")
        lines.append(f'(sounds (Utterance Text "{said}"))')
    told = _festival("\n".join(lines), len(texts))
    made = [[_sound(line) for line in block.splitlines()] for block in told.strip().split("\n\n")]
    if len(made) != len(texts) or not all(made):
        raise AudioError(f"festival pronounced {len(made)} of {len(texts)} texts.")
    return made


def _sound(line: str) -> Sound:
    name, end_s, word, *targets = line.split()
    heights = tuple((float(at), float(hz)) for at, _, hz in (t.partition(":") for t in targets))
    return Sound(name, float(end_s), word, heights)


def _segments(
    sounds: Sequence[Sound], speed: float, pitch: int, speaker: Speaker, recorded: Collection[str]
) -> str:
    """Scheme for festival: sounds with their lengths, and the melody at the speaker's own height.

    Args:
        sounds: English.
        speed: as for `multimodal.audio.engines.speak`.
        pitch: likewise; an octave from the lowest to the highest.
        speaker: one of festival's.
        recorded: as for `accented`.
    """
    higher = speaker.mean_hz / _MODEL_HZ * 2 ** ((pitch - 50) / 100)
    heights = [height for sound in sounds for height in sound.heights]
    made, start_s = [], 0.0
    for name, lasts_s, _ in accented(sounds, speaker.accent, recorded):
        end_s = start_s + lasts_s
        inside = [
            f"({(at_s - start_s) / speed:.4f} {hz * higher:.1f})"
            for at_s, hz in heights
            if start_s <= at_s < end_s
        ]
        made.append(f"({name} {lasts_s / speed:.4f} {' '.join(inside)})")
        start_s = end_s
    return f"(Utterance Segments ({' '.join(made)}))"


def _spelled(sounds: Sequence[Sound], accent: str) -> str:
    """Text for Pico: each word in X-SAMPA, in an accent of Pico's."""
    words: list[tuple[str, str]] = []
    for name, _, word in accented(sounds, accent):
        if words and words[-1][0] == word:
            words[-1] = (word, words[-1][1] + name)
        else:
            words.append((word, name))
    return " ".join(f'<phoneme alphabet="xsampa" ph={quoteattr(said)}/>' for _, said in words)


def say_foreign(
    texts: Sequence[str], name: str, speeds: Sequence[float], pitches: Sequence[int]
) -> Iterator[tuple[Tensor, int]]:
    """Say English texts in the voice of a foreigner.

    Args:
        texts: English.
        name: one of `SPEAKERS`.
        speeds: of each text, as for `multimodal.audio.engines.speak`.
        pitches: likewise.

    Yields:
        float32 (samples,) in [-1, 1], and its rate in hertz.

    Raises:
        AudioError: there is no such speaker, the voice is not installed, or festival failed.
    """
    if name not in SPEAKERS:
        raise AudioError(f"There is no foreign voice {name!r}; there are {', '.join(SPEAKERS)}.")
    if name not in installed():
        package = SPEAKERS[name].package
        raise AudioError(
            f"The voice {name} is not installed: "
            + (f"`apt-get install {package}`." if package else "`pip install 'worldmodel[pico]'`.")
        )
    if not texts:
        return
    said = pronounced(texts)
    if not SPEAKERS[name].package:
        words = [_spelled(each, name) for each in said]
        yield from pico_speech(words, name, speeds, pitches)
        return
    recorded = _recorded(name)
    with tempfile.TemporaryDirectory(prefix="speech-") as folder:
        lines = [f"(voice_{name})"]
        for number, each in enumerate(zip(said, speeds, pitches, strict=True)):
            sounds = _segments(*each, SPEAKERS[name], recorded)
            lines.append(f'(utt.save.wave (utt.synth {sounds}) "{folder}/{number}.wav" \'riff)')
        _festival("\n".join(lines), len(texts))
        for number in range(len(texts)):
            samples, rate_hz = soundfile.read(
                f"{folder}/{number}.wav", dtype="float32", always_2d=True
            )
            yield torch.from_numpy(samples.mean(axis=1)), int(rate_hz)


def pico_speech(
    texts: Sequence[str], name: str, speeds: Sequence[float], pitches: Sequence[int]
) -> Iterator[tuple[Tensor, int]]:
    """Say texts, in English or X-SAMPA, in a voice of Pico's; else as `say_foreign`."""
    percents = map(pico_says.percents, speeds, pitches)
    orders = ((text, *percent) for text, percent in zip(texts, percents, strict=True))
    for samples in pico_says.say(name, orders):
        yield torch.frombuffer(bytearray(samples), dtype=torch.int16) / 32768, pico_says.RATE_HZ


@cache
def installed() -> frozenset[str]:
    """The speakers who can be heard here; none where festival does not work."""
    if shutil.which("festival") is None:
        return frozenset()
    try:
        told = _festival(_NAMES_OF_VOICES, 1)
    except AudioError:
        return frozenset()
    found = set(told.split())
    if _MODEL not in found:
        return frozenset()
    if find_spec("ttspico") is not None:
        found |= {name for name, speaker in SPEAKERS.items() if not speaker.package}
    return frozenset(found & SPEAKERS.keys())


def _recorded(name: str) -> frozenset[str]:
    """The pairs of sounds of a festival's voice, from the beginning of its file."""
    told = _festival(f'(format t "%s" (cdr (assoc \'{name} voice-locations)))', 1)
    files = sorted(Path(told.strip()).glob("group/*.group"))
    if not files:
        raise AudioError(f"festival's voice {name} has no file of diphones.")
    with files[0].open(encoding="latin-1") as lines:
        header = list(takewhile(lambda line: not line.startswith("EST_Header_End"), lines))
        count = next(int(line.split()[1]) for line in header if line.startswith("NumEntries"))
        return frozenset(line.split()[0] for line in islice(lines, count))


def _festival(script: str, texts: int) -> str:
    with tempfile.TemporaryDirectory(prefix="speech-") as folder:
        path = Path(folder) / "say.scm"
        path.write_text(script + "\n", encoding="utf-8")
        timeout_s = _TIMEOUT_S + 5 * texts
        try:
            done = subprocess.run(
                ["festival", "--batch", str(path)],
                capture_output=True, text=True, timeout=timeout_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise AudioError(f"festival did not finish within {timeout_s} s.") from error
    if done.returncode:
        raise AudioError(f"festival failed: {done.stderr.strip()[:300] or 'no message'}.")
    return done.stdout
