"""The words of the Push table, and the places they stand for: what the worlds and the texts share.

The worlds draw and the grammar speaks; both take colours, shapes, walls and extents from here, so
that a word and what is seen cannot part.
"""

from __future__ import annotations

import re
from typing import Final, Literal

__all__ = [
    "COLOURS",
    "COLOUR_RGB",
    "GLYPHS",
    "HALF_VIEW_M",
    "HELD_OUT_COMBINATIONS",
    "PLURALS",
    "SHAPES",
    "TABLE_HALF_M",
    "TRAINING_COMBINATIONS",
    "WALLS",
    "WALL_REACH_M",
    "ZONE_RADIUS_M",
    "Split",
    "listed_combinations",
    "named_combinations",
]

Split = Literal["train", "held_out", "any"]
"""Which paraphrases may be used; "train" also never names a held-out combination."""

COLOURS: Final[tuple[str, ...]] = ("red", "orange", "yellow", "green", "blue", "purple")
COLOUR_RGB: Final[dict[str, tuple[float, float, float]]] = {
    "red": (0.86, 0.10, 0.12),
    "orange": (1.00, 0.52, 0.05),
    "yellow": (0.95, 0.88, 0.10),
    "green": (0.10, 0.62, 0.20),
    "blue": (0.10, 0.28, 0.90),
    "purple": (0.58, 0.15, 0.72),
}
SHAPES: Final[tuple[str, ...]] = ("cube", "ball", "triangle", "cross")
PLURALS: Final[dict[str, str]] = {
    "cube": "cubes",
    "ball": "balls",
    "triangle": "triangles",
    "cross": "crosses",
}
WALLS: Final[tuple[str, ...]] = ("left", "right", "top", "bottom")
TABLE_HALF_M: Final = 0.2
ZONE_RADIUS_M: Final = 0.045
# An object whose middle is this close to a wall is at the wall.
WALL_REACH_M: Final = 0.06
# Half of what the camera of the Push table sees at table height: 1.2 m up, 20.2 degrees wide.
HALF_VIEW_M: Final = 0.21375

# Of every group that a grid of 5 by 7 cells cannot tell apart (0 O D Q, 1 I, 5 S, 2 Z, 6 G, 8 B,
# U V, M N W) one member stays.
GLYPHS: Final = "ACEFHJKLNPRTUXY23456789"

# One for each colour, and every shape at least once: each word is seen in training, these pairs
# never are.
HELD_OUT_COMBINATIONS: Final[frozenset[tuple[str, str]]] = frozenset(
    {
        ("red", "cross"),
        ("orange", "ball"),
        ("yellow", "triangle"),
        ("green", "cube"),
        ("blue", "triangle"),
        ("purple", "cross"),
    }
)
TRAINING_COMBINATIONS: Final[tuple[tuple[str, str], ...]] = tuple(
    (colour, shape)
    for colour in COLOURS
    for shape in SHAPES
    if (colour, shape) not in HELD_OUT_COMBINATIONS
)

_SINGULAR = {plural: shape for shape, plural in PLURALS.items()} | {s: s for s in SHAPES}
_COMBINATION = re.compile(rf"\b({'|'.join(COLOURS)}) ({'|'.join(_SINGULAR)})\b", re.IGNORECASE)


def listed_combinations(text: str) -> list[tuple[str, str]]:
    """The pairs of colour and shape that a text names, ("red", "cube"), as often as it does."""
    return [
        (colour.lower(), _SINGULAR[shape.lower()]) for colour, shape in _COMBINATION.findall(text)
    ]


def named_combinations(text: str) -> set[tuple[str, str]]:
    """The pairs of colour and shape that a text names."""
    return set(listed_combinations(text))
