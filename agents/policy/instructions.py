"""Goals in words, through the grammar that the agent listens with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from agents.language.parse import Phrase, parse
from envs.push_goals import PushGoal
from envs.push_scene import COLOURS, SHAPES
from multimodal.errors import StateError
from multimodal.language.vocabulary import WALLS

__all__ = ["goals_of"]

_EXAMPLE = 'such as "push the red cube to the green target"'


def goals_of(instructions: Sequence[str]) -> Tensor:
    """Goal vectors (B, GOAL_DIM) of instructions; of several steps the first counts.

    Raises:
        StateError: an instruction that names no object by its colour, or no place.
    """
    return torch.from_numpy(np.stack([_goal(text).vector() for text in instructions]))


def _goal(text: str) -> PushGoal:
    parsed = parse(text)
    if not parsed.wishes or parsed.wishes[0].place is None:
        reason = parsed.ask or parsed.refuse or "It names no place."
        raise StateError(f"{text!r} is no goal: {reason} Name an object and a place, {_EXAMPLE}.")
    wish = parsed.wishes[0]
    thing, place = wish.objects[0], wish.place
    assert place is not None
    if thing.colour not in COLOURS:
        raise StateError(
            f"{text!r} does not say the object's colour, by which objects are told apart. "
            f"Name it, {_EXAMPLE}."
        )
    shape = SHAPES.index(thing.noun) if thing.noun in SHAPES else 0
    return PushGoal(COLOURS.index(thing.colour), shape, *_place(text, place), 0)


def _place(text: str, place: Phrase) -> tuple[int, int]:
    """The zone's colour and the wall, -1 for the one that is not meant."""
    if place.kind == "wall" and place.side in WALLS:
        return -1, WALLS.index(place.side)
    if place.kind == "zone" and place.colour in COLOURS:
        return COLOURS.index(place.colour), -1
    raise StateError(
        f"{text!r} does not say which {place.kind}: name a target's colour ({', '.join(COLOURS)}) "
        f"or a wall ({', '.join(WALLS)})."
    )
