"""What to do on the table, in words."""

from __future__ import annotations

from typing import Final

from multimodal.errors import ConfigError
from multimodal.language.phrasing import Family
from multimodal.language.vocabulary import COLOURS, SHAPES, WALLS

__all__ = ["INSTRUCTION_PHRASES", "instruction"]

# Goals that are saved name their phrase by its number, so phrases are added at the end only.
_TO_ZONE = Family(
    "instruction.zone",
    (
        "push the {object} to the {place} target",
        "move the {object} onto the {place} target",
        "bring the {object} to the {place} zone",
        "put the {object} on the {place} target",
        "slide the {object} into the {place} zone",
        "get the {object} over to the {place} target",
        "take the {object} to the {place} target",
        "push the {object} onto the {place} zone",
        "bring the {object} over to the {place} target",
        "move the {object} to the {place} zone",
        "slide the {object} onto the {place} target",
        "get the {object} into the {place} zone",
    ),
)
_TO_WALL = Family(
    "instruction.wall",
    (
        "push the {object} to the {place} wall",
        "move the {object} against the {place} wall",
        "bring the {object} to the {place} wall",
        "slide the {object} up to the {place} wall",
        "get the {object} over to the {place} wall",
        "take the {object} to the {place} wall",
        "push the {object} against the {place} wall",
        "move the {object} over to the {place} wall",
        "bring the {object} up to the {place} wall",
        "slide the {object} against the {place} wall",
        "take the {object} over to the {place} wall",
        "get the {object} up to the {place} wall",
    ),
)
INSTRUCTION_PHRASES: Final = len(_TO_ZONE.sentences)


def instruction(
    colour: str, shape: str, *, zone: str | None = None, wall: str | None = None, phrase: int = 0
) -> str:
    """A goal in words: "push the red cube to the green target".

    Args:
        colour: of the object, one of COLOURS.
        shape: of the object, one of SHAPES.
        zone: colour of the target it shall come to.
        wall: or the wall, one of WALLS.
        phrase: which paraphrase, 0 to 11; the last two are held out of training.

    Raises:
        ConfigError: both or neither of zone and wall, or a word or phrase that does not exist.
    """
    if (zone is None) == (wall is None):
        raise ConfigError("an instruction names either a zone or a wall; pass exactly one of them.")
    known = colour in COLOURS and shape in SHAPES and (zone in COLOURS or wall in WALLS)
    if not known or not 0 <= phrase < INSTRUCTION_PHRASES:
        raise ConfigError(
            f"cannot say {colour!r} {shape!r} to {zone or wall!r} in phrase {phrase}; colours are "
            f"{', '.join(COLOURS)}, shapes {', '.join(SHAPES)}, walls {', '.join(WALLS)}, phrases "
            f"0 to {INSTRUCTION_PHRASES - 1}."
        )
    family = _TO_WALL if zone is None else _TO_ZONE
    return family.sentences[phrase].format(object=f"{colour} {shape}", place=zone or wall)
