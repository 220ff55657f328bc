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
from typing import Final, NamedTuple
from xml.sax.saxutils import quoteattr

import soundfile
import torch
from torch import Tensor

from multimodal.audio import pico_says
from multimodal.errors import AudioError

__all__ = [
    "ACCENTS",
    "SPEAKERS",
    "Sound",
    "Speaker",
    "accented",
    "installed",
    "pronounced",
    "say_foreign",
]

_TIMEOUT_S: Final = 300
_NAMES_OF_VOICES: Final = '(mapcar (lambda (each) (format t "%s\\n" (car each))) voice-locations)'
# The voice whose sounds and melody are taken, and its mean pitch in hertz.
_MODEL: Final = "kal_diphone"
_MODEL_HZ: Final = 105.0
# Of a sound that becomes two the first gets so much of its time, as in English diphthongs.
_FIRST: Final = 0.6
_GAP_S: Final = 0.012
# What is said instead of a sound that was not recorded beside its neighbour.
_RELATIVES: Final = {
    "a:": ("a",), "e": ("e:",), "e:": ("e",), "i:": ("i",), "o": ("o:",), "o:": ("o",),
    "u:": ("u",), "7": ("7:", "e"), "b": ("p",), "d": ("t",), "g": ("k",), "k": ("g",),
    "t": ("d",), "v": ("f",), "w": ("v",), "z": ("s",), "z~": ("s~",), "s~": ("z~",),
    "dz~": ("c~",), "S": ("s",), "T": ("t",), "l": ("l:",),
}  # fmt: skip


class Sound(NamedTuple):
    """One sound of English.

    Attributes:
        name: of festival's set `radio`.
        end_s: where it ends.
        word: in which it is; "0" in a pause.
        heights: moments, in seconds, and their pitch in hertz.
    """

    name: str
    end_s: float
    word: str
    heights: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Speaker:
    """Who speaks.

    Attributes:
        accent: the language, one of `ACCENTS`.
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


def _accent(table: str) -> Mapping[str, tuple[str, ...]]:
    pairs = (each.partition("=") for each in table.split())
    return {english: tuple(filter(None, sounds.split("+"))) for english, _, sounds in pairs}


ACCENTS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "czech": _accent(
        "aa=a: ae=e ah=a ao=o: aw=a+u ax=e axr=e+r ay=a+j b=b ch=c~ d=d dh=d dx=d eh=e el=e+l "
        "em=e+m en=e+n er=e+r ey=e+j f=f g=g hh=h hv=h ih=i iy=i: jh=dz~ k=k l=l m=m n=n ng=n*+g "
        "nx=n ow=o+u oy=o+j p=p r=r s=s sh=s~ t=t th=t uh=u uw=u: v=v w=v y=j z=z zh=z~ pau=# "
        "h#=# brth=#"
    ),
    "italian": _accent(
        "aa=O ae=E ah=a ao=O aw=a+u ax=e axr=e+r ay=a+i b=b ch=tS d=d dh=d dx=d eh=E el=e+l em=e+m "
        "en=e+n er=e+r ey=e+i f=f g=g hh= hv= ih=i iy=i jh=dZ k=k l=l m=m n=n ng=ng+g nx=n ow=o+u "
        "oy=o+i p=p r=r s=s sh=S t=t th=t uh=u uw=u v=v w=u y=i z=z zh=dZ pau=# h#=# brth=#"
    ),
    "finnish": _accent(
        "aa=o ae=@ ah=a ao=o: aw=a+u ax=7 axr=7+r ay=a+i b=b ch=t+S d=d dh=d dx=d eh=e el=7+l "
        "em=7+m en=7+n er=7+r ey=e+i f=f g=g hh=h hv=h ih=i iy=i: jh=d+S k=k l=l m=m n=n ng=N "
        "nx=n ow=o+u oy=o+i p=p r=r s=s sh=S t=t th=T uh=u uw=u: v=v w=w y=j z=s zh=S pau=# "
        "h#=# brth=#"
    ),
    "telugu": _accent(
        "aa=aa ae=eh ah=a ao=aa aw=aw ax=a axr=a+r ay=ay b=b ch=ch d=D dh=dh dx=D eh=eh el=a+l "
        "em=a+m en=a+n er=a+r ey=ee f=f g=g hh=h hv=h ih=ih iy=iy jh=j k=k l=l m=m n=n ng=n+g nx=n "
        "ow=oo oy=oh+y p=p r=r s=s sh=sh t=T th=th uh=uh uw=uw v=v w=v y=y z=j zh=j pau=pau h#=pau "
        "brth=pau"
    ),
    # Pico's are written in X-SAMPA.
    "de-DE": _accent(
        "aa=O ae=E ah=a ao=O aw=aU ax=@ axr=6 ay=aI b=b ch=tS d=d dh=d dx=d eh=E el=@+l em=@+m "
        "en=@+n er=9+R ey=e: f=f g=g hh=h hv=h ih=I iy=i: jh=dZ k=k l=l m=m n=n ng=N nx=n ow=o: "
        "oy=OY p=p r=R s=s sh=S t=t th=s uh=U uw=u: v=v w=v y=j z=z zh=Z pau= h#= brth="
    ),
    "es-ES": _accent(
        "aa=o ae=a ah=a ao=o aw=a+u ax=e axr=e+r ay=a+j b=b ch=tS d=d dh=d dx=d eh=e el=e+l em=e+m "
        "en=e+n er=e+r ey=e+j f=f g=g hh=x hv=x ih=i iy=i jh=jj k=k l=l m=m n=n ng=n+g nx=n ow=o+u "
        "oy=o+j p=p r=r s=s sh=s t=t th=T uh=u uw=u v=b w=w y=j z=s zh=s pau= h#= brth="
    ),
    "fr-FR": _accent(
        "aa=O ae=a ah=9 ao=O aw=a+u ax=2 axr=9+R ay=a+j b=b ch=t+S d=d dh=z dx=d eh=E el=2+l "
        "em=2+m en=2+n er=9+R ey=e+j f=f g=g hh= hv= ih=i iy=i jh=d+Z k=k l=l m=m n=n ng=n+g nx=n "
        "ow=o oy=O+j p=p r=R s=s sh=S t=t th=s uh=u uw=u v=v w=w y=j z=z zh=Z pau= h#= brth="
    ),
}
"""What each English sound becomes: one or two sounds, or none."""

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


def accented(
    sounds: Sequence[Sound], accent: str, recorded: Collection[str] | None = None
) -> list[tuple[str, float, str]]:
    """The sounds of another language that stand for English ones.

    Args:
        sounds: English.
        accent: one of `ACCENTS`.
        recorded: pairs of sounds that the speaker has said, as `a-b`; where one is missing a
            sound's nearest relative takes its place, or a short silence parts the two. None for
            all.

    Returns:
        Name, seconds, and the word of each. Where two alike would follow each other they are one.
    """
    made: list[tuple[str, float, str]] = []
    start_s = 0.0
    for sound in sounds:
        lasts_s = sound.end_s - start_s
        names = ACCENTS[accent][sound.name]
        shares = (_FIRST, 1 - _FIRST) if len(names) == 2 else (1.0,)
        for name, share in zip(names, shares, strict=False):
            if made and made[-1][0] == name:
                made[-1] = (name, made[-1][1] + share * lasts_s, made[-1][2])
            else:
                made.append((name, share * lasts_s, sound.word))
        # The time of a sound that the language lacks is the next one's, so that the melody fits.
        start_s = sound.end_s if names else start_s
    return made if recorded is None else _sayable(made, recorded)


def _sayable(
    made: Sequence[tuple[str, float, str]], recorded: Collection[str]
) -> list[tuple[str, float, str]]:
    """The same with as few pairs as possible that were not recorded."""
    first = made[0]
    said = [first]
    for name, lasts_s, word in made[1:]:
        before, before_s, before_word = said[-1]
        past = said[-2][0] if len(said) > 1 else None
        pairs = (
            (a, b)
            for b in (name, *_RELATIVES.get(name, ()))
            for a in (before, *_RELATIVES.get(before, ()))
            if f"{a}-{b}" in recorded and (past is None or f"{past}-{a}" in recorded)
        )
        a, b = next(pairs, (before, name))
        said[-1] = (a, before_s, before_word)
        if f"{a}-{b}" not in recorded and {f"{a}-{first[0]}", f"{first[0]}-{b}"} <= set(recorded):
            said.append((first[0], _GAP_S, word))
            lasts_s -= _GAP_S
        said.append((b, lasts_s, word))
    return said


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
        percents = map(pico_says.percents, speeds, pitches)
        words = (_spelled(each, name) for each in said)
        orders = ((text, *percent) for text, percent in zip(words, percents, strict=True))
        for samples in pico_says.say(name, orders):
            yield torch.frombuffer(bytearray(samples), dtype=torch.int16) / 32768, pico_says.RATE_HZ
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


@cache
def installed() -> frozenset[str]:
    """The speakers who can be heard here; none where festival does not work."""
    if shutil.which("festival") is None:
        return frozenset()
    try:
        told = _festival(
            '(mapcar (lambda (each) (format t "%s\\n" (car each))) voice-locations)', 1
        )
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
