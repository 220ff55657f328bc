"""The grammar of what is said to the table: once, for every recogniser that takes one.

A pattern is a text (its words one after the other), a tuple (its parts one after the other) or a
list (one of its parts); the empty text is nothing at all.
"""

from __future__ import annotations

from typing import Final

from multimodal.language.vocabulary import COLOURS, SHAPES, WALLS
from multimodal.speech.language import JOINTS, ONES, PREPOSITIONS, STOP_WORDS, VERBS

__all__ = ["COMMANDS", "JOINED", "REPLIES", "STEP", "WORDS", "Pattern", "jsgf"]

Pattern = str | tuple["Pattern", ...] | list["Pattern"]

_OBJECT: Final[Pattern] = (
    "the",
    [([*COLOURS], [*SHAPES, *ONES]), [*SHAPES]],
)
_PLACE: Final[Pattern] = ("the", [([*COLOURS], ["target", "zone"]), ([*WALLS], "wall")])
STEP: Final[Pattern] = (["", *VERBS], _OBJECT, ["", ([*PREPOSITIONS], _PLACE)])
"""One thing to do, or a thing alone, which is also how a question is answered."""
JOINED: Final[Pattern] = [*JOINTS]
"""What stands between two steps; any number of them may follow one another."""
COMMANDS: Final[tuple[Pattern, Pattern]] = (["", "please", "first"], ["", "please"])
"""What may stand before the first step and after the last."""
_STOPS: Final[Pattern] = [*STOP_WORDS]
REPLIES: Final[Pattern] = [
    (_STOPS, ["", _STOPS, "now"]),
    "yes",
    "no",
    [*COLOURS],
]


def _words(pattern: Pattern) -> set[str]:
    if isinstance(pattern, str):
        return set(pattern.split())
    return {word for part in pattern for word in _words(part)}


WORDS: Final[tuple[str, ...]] = tuple(sorted(_words((*COMMANDS, STEP, JOINED, REPLIES))))
"""Every word of the grammar."""


def jsgf() -> str:
    """The grammar in the Java Speech Grammar Format, as PocketSphinx reads it."""
    before, after = COMMANDS
    return "\n".join(
        (
            "#JSGF V1.0;",
            "grammar table;",
            f"<step> = {_written(STEP)};",
            f"<command> = {_written(before)} <step> ( {_written(JOINED)} <step> )* "
            f"{_written(after)};",
            f"public <said> = <command> | {_written(REPLIES)};",
            "",
        )
    )


def _written(pattern: Pattern) -> str:
    if isinstance(pattern, str):
        return pattern
    if isinstance(pattern, tuple):
        return " ".join(_written(part) for part in pattern)
    alternatives = " | ".join(_written(part) for part in pattern if part != "")
    return f"[ {alternatives} ]" if "" in pattern else f"( {alternatives} )"
