"""English in the sounds of other languages: each becomes the likest ones, as accents have it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

__all__ = ["ACCENTS", "Sound", "accented"]

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
