"""What people say to the system: commands of one or more steps, answers, the stop words, and noise.

A text here is what a recogniser writes: lower-case words with single spaces and nothing else.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from multimodal.audio.sentences import sentences
from multimodal.language.instructions import INSTRUCTION_PHRASES, instruction
from multimodal.language.vocabulary import COLOURS, SHAPES, WALLS

__all__ = [
    "STOP_WORDS",
    "Step",
    "command",
    "is_stop",
    "normal_text",
    "parse_command",
    "spoken_texts",
]

STOP_WORDS = ("stop", "halt")
# What a hasty listener takes for a stop word.
LIKE_STOP = (
    "top", "step", "shop", "spot", "start", "stock", "store", "stamp", "strap", "drop", "crop",
    "hot", "salt", "hall", "hold", "half", "fault", "belt", "all", "ball", "wall", "cross",
    "cube", "push", "put", "the", "box", "it", "what", "that", "the top", "to the top wall",
    "the ball", "on top", "a shop",
)  # fmt: skip
VERBS = ("push", "move", "bring", "put", "slide", "get", "take")
PREPOSITIONS = ("to", "onto", "on", "into", "over to", "against", "up to")
JOINTS = ("then", "and then", "and")
ONES = ("one", "object", "thing")

_NOT_A_WORD = re.compile(r"[^a-z' ]+")
_THING = (
    rf"the (?:(?P<colour>{'|'.join(COLOURS)}) (?:(?P<both>{'|'.join(SHAPES)})|{'|'.join(ONES)})"
    rf"|(?P<shape>{'|'.join(SHAPES)}))"
)
_PLACE = rf"the (?:(?P<zone>{'|'.join(COLOURS)}) (?:target|zone)|(?P<wall>{'|'.join(WALLS)}) wall)"
_STEP = re.compile(
    rf"(?:(?P<verb>{'|'.join(VERBS)}) )?{_THING}(?: (?:{'|'.join(PREPOSITIONS)}) {_PLACE})?"
)
_JOINT = re.compile(r" (?:and then|then|and) (?=(?:push|move|bring|put|slide|get|take|the) )")


@dataclass(frozen=True)
class Step:
    """One thing to do; None where it was not said.

    Attributes:
        colour: of the object, one of COLOURS.
        shape: of the object, one of SHAPES.
        zone: colour of the target it shall come to.
        wall: or the wall, one of WALLS.
    """

    colour: str | None
    shape: str | None
    zone: str | None = None
    wall: str | None = None


def normal_text(text: str) -> str:
    """A text as a recogniser would write it: "Stop, please!" becomes "stop please"."""
    return " ".join(_NOT_A_WORD.sub(" ", text.lower().replace("’", "'")).split())


def is_stop(text: str) -> bool:
    """Whether a text is nothing but the order to stop, said once or more often."""
    words = normal_text(text).split()
    return any(word in STOP_WORDS for word in words) and all(
        word in (*STOP_WORDS, "now", "please") for word in words
    )


def parse_command(text: str) -> tuple[Step, ...]:
    """The steps that a text asks for; none where it is not a command of the world's language.

    Args:
        text: typed or recognised; case and punctuation do not count.
    """
    words = normal_text(text)
    words = words.removeprefix("please ").removesuffix(" please").removeprefix("first ")
    steps = []
    for part in _JOINT.split(words):
        found = _STEP.fullmatch(part)
        if found is None:
            return ()
        steps.append(
            Step(found["colour"], found["both"] or found["shape"], found["zone"], found["wall"])
        )
    return tuple(steps)


def command(rng: random.Random, steps: int = 1) -> str:
    """An order that names every object and every place.

    Args:
        rng: where it is drawn from.
        steps: how many things there are to do, 1 to 3.

    Returns:
        Text such as "first push the red cube to the left wall, then ...".
    """
    parts = [_instruction(rng) for _ in range(steps)]
    if steps == 1:
        return parts[0]
    if rng.random() < 0.4:
        keep = [0] if rng.random() < 0.5 else []
        parts = [
            part if number in keep else _without_verb(part) for number, part in enumerate(parts)
        ]
        return "first " + _pause(rng).join(parts)
    if rng.random() < 0.5:
        return "first " + _pause(rng).join(parts)
    return f" {rng.choice(JOINTS)} ".join(parts)


def _pause(rng: random.Random) -> str:
    return rng.choice((", then ", " then ", ", and then ", " and then "))


def _instruction(rng: random.Random) -> str:
    colour, shape = rng.choice(COLOURS), rng.choice(SHAPES)
    phrase = rng.randrange(INSTRUCTION_PHRASES)
    if rng.random() < 0.6:
        return instruction(colour, shape, zone=rng.choice(COLOURS), phrase=phrase)
    return instruction(colour, shape, wall=rng.choice(WALLS), phrase=phrase)


def _without_verb(part: str) -> str:
    return part.partition(" ")[2]


def _vague(rng: random.Random) -> str:
    """A command that leaves something open, or the answer to a question about it."""
    colour, shape = rng.choice(COLOURS), rng.choice(SHAPES)
    thing = rng.choice(
        (f"the {shape}", f"the {colour} {rng.choice(ONES)}", f"the {colour} {shape}")
    )
    place = rng.choice((f"the {rng.choice(COLOURS)} target", f"the {rng.choice(WALLS)} wall"))
    return rng.choice(
        (
            thing,
            f"{rng.choice(VERBS)} {thing}",
            f"{rng.choice(VERBS)} {thing} {rng.choice(PREPOSITIONS)} {place}",
            f"{rng.choice(VERBS)} the {shape} {rng.choice(PREPOSITIONS)} {place}",
            f"please {rng.choice(VERBS)} {thing} to {place}",
            f"{rng.choice(VERBS)} {thing} to {place} please",
        )
    )


def _brief(rng: random.Random) -> str:
    stop = rng.choice(STOP_WORDS)
    return rng.choice(
        (stop, stop, f"{stop} {stop}", f"{stop} now", "yes", "no", rng.choice(COLOURS))
    )


def spoken_texts(seed: int) -> Iterator[str]:
    """What a recogniser learns from, without end and the same for the same seed.

    Two thirds are commands of one to three steps; the others leave something open, answer, stop,
    or have nothing to do with the table, so that not everything that is heard becomes a command.

    Args:
        seed: of the choice.

    Yields:
        Text of 1 to about 40 words, with commas where a speaker pauses.
    """
    rng = random.Random(seed)
    others = sentences(rng.getrandbits(32))
    while True:
        kind = rng.random()
        if kind < 0.50:
            yield command(rng)
        elif kind < 0.66:
            yield command(rng, 2)
        elif kind < 0.68:
            yield command(rng, 3)
        elif kind < 0.80:
            yield _vague(rng)
        elif kind < 0.84:
            yield _brief(rng)
        else:
            yield next(others)
