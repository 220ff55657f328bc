"""A sign and a bar chart lying on the Push table: where they are and how they are drawn.

Both are flat boxes that nothing bumps into. They are laid on the grid of pixels of a 64 pixel
frame, a cell of a character being two pixels wide, so that what is drawn can also be read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from envs.glyphs import COLUMNS, MOST_RECTANGLES, RECTANGLES, ROWS
from envs.push_scene import COLOUR_RGB, COLOURS, TABLE_HALF_M
from multimodal.language.about_print import MOST_BARS, TALLEST_BAR
from multimodal.language.vocabulary import HALF_VIEW_M

__all__ = [
    "LONGEST_TEXT",
    "PIXEL_M",
    "PrintedTable",
    "Rectangle",
    "corner_m",
    "paper_size_m",
    "printed_geoms",
    "rectangles",
]

LONGEST_TEXT: Final = 4
PIXEL_M: Final = 2 * HALF_VIEW_M / 64
_CELL: Final = 2
_PAD: Final = 2
_UNIT: Final = 4
_BAR: Final = 4
_AXIS: Final = 5

_PAPER_RGB: Final = (0.97, 0.97, 0.95)
_INK_RGB: Final = (0.06, 0.06, 0.08)
_PAPER_TOP_M: Final = 0.0006
_INK_TOP_M: Final = 0.0014

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Rectangle:
    """A flat coloured rectangle on the table.

    Attributes:
        box_m: left, bottom, right, top.
        rgb: its colour, 0 to 1.
        top_m: height of its upper face over the table.
    """

    box_m: Box
    rgb: tuple[float, float, float]
    top_m: float


@dataclass(frozen=True, eq=False)
class PrintedTable:
    """What is printed and where, as it stands in the named state.

    Attributes:
        text: indices into GLYPHS, int64 (4,), -1 after the last character or without a sign.
        sign_box_m: left, bottom, right, top of the sign (4,), zeros without one.
        bar_colour: indices into COLOURS from left to right, int64 (5,), -1 for no bar.
        bar_height: marks of the axis, int64 (5,), 0 for no bar.
        chart_box_m: left, bottom, right, top of the chart (4,), zeros without one.
    """

    text: NDArray[np.int64] = field(default_factory=lambda: np.full(LONGEST_TEXT, -1))
    sign_box_m: NDArray[np.float64] = field(default_factory=lambda: np.zeros(4))
    bar_colour: NDArray[np.int64] = field(default_factory=lambda: np.full(MOST_BARS, -1))
    bar_height: NDArray[np.int64] = field(default_factory=lambda: np.zeros(MOST_BARS, np.int64))
    chart_box_m: NDArray[np.float64] = field(default_factory=lambda: np.zeros(4))

    def named(self) -> dict[str, NDArray[Any]]:
        """Its part of the named state."""
        return {
            "sign_text": self.text.copy(),
            "sign_box_m": self.sign_box_m.copy(),
            "bar_colour": self.bar_colour.copy(),
            "bar_height": self.bar_height.copy(),
            "chart_box_m": self.chart_box_m.copy(),
        }


def paper_size_m(characters: int = 0, bars: int = 0) -> NDArray[np.float64]:
    """Width and height (2,) of a sign with so many characters, or of a chart with so many bars."""
    if characters:
        width = characters * (COLUMNS + 1) * _CELL - _CELL
        return PIXEL_M * np.array([width + 2 * _PAD, ROWS * _CELL + 2 * _PAD])
    return PIXEL_M * np.array([_AXIS + bars * (_BAR + 2) + 1, TALLEST_BAR * _UNIT + 2 * _PAD + 1])


def printed_geoms() -> str:
    """MJCF of every geom that print can need; `rectangles` says where each goes."""
    return "\n    ".join(
        f'<geom name="{name}" type="box" size="0.01 0.01 0.0001" pos="0 0 0.0001" '
        'contype="0" conaffinity="0" group="1" rgba="0 0 0 0"/>'
        for name in _geom_names()
    )


def _geom_names() -> list[str]:
    strokes = [
        f"sign_{place}_{stroke}"
        for place in range(LONGEST_TEXT)
        for stroke in range(MOST_RECTANGLES)
    ]
    marks = [f"chart_mark{height}" for height in range(TALLEST_BAR + 2)]
    bars = [f"chart_bar{bar}" for bar in range(MOST_BARS)]
    return ["sign", *strokes, "chart", *marks, *bars]


def rectangles(printed: PrintedTable) -> dict[str, Rectangle | None]:
    """For every geom of `printed_geoms` what it draws; None for nothing."""
    drawn: dict[str, Rectangle | None] = dict.fromkeys(_geom_names())
    if (printed.text >= 0).any():
        drawn |= _sign(printed)
    if (printed.bar_colour >= 0).any():
        drawn |= _chart(printed)
    return drawn


def _sign(printed: PrintedTable) -> dict[str, Rectangle]:
    left_m, bottom_m, right_m, top_m = printed.sign_box_m
    drawn = {"sign": Rectangle((left_m, bottom_m, right_m, top_m), _PAPER_RGB, _PAPER_TOP_M)}
    pad_m, cell_m = _PAD * PIXEL_M, _CELL * PIXEL_M
    for place, code in enumerate(printed.text[printed.text >= 0]):
        x_m = left_m + pad_m + place * (COLUMNS + 1) * cell_m
        for stroke, (top, left, bottom, right) in enumerate(RECTANGLES[code]):
            box_m = (
                x_m + left * cell_m,
                top_m - pad_m - bottom * cell_m,
                x_m + right * cell_m,
                top_m - pad_m - top * cell_m,
            )
            drawn[f"sign_{place}_{stroke}"] = Rectangle(box_m, _INK_RGB, _INK_TOP_M)
    return drawn


def _chart(printed: PrintedTable) -> dict[str, Rectangle]:
    """A vertical axis with a mark for each unit, a base line, and the bars."""
    left_m, bottom_m, right_m, top_m = printed.chart_box_m
    paper = Rectangle((left_m, bottom_m, right_m, top_m), _PAPER_RGB, _PAPER_TOP_M)
    base_m, axis_m = bottom_m + (_PAD + 1) * PIXEL_M, left_m + (_AXIS - 2) * PIXEL_M

    def ink(left: float, bottom: float, right: float, top: float) -> Rectangle:
        box_m = tuple(
            float(value)
            for value in (
                axis_m + left * PIXEL_M,
                base_m + bottom * PIXEL_M,
                axis_m + right * PIXEL_M,
                base_m + top * PIXEL_M,
            )
        )
        return Rectangle((box_m[0], box_m[1], box_m[2], box_m[3]), _INK_RGB, _INK_TOP_M)

    count = int((printed.bar_colour >= 0).sum())
    drawn = {"chart": paper, "chart_mark0": ink(0, -1, 1, TALLEST_BAR * _UNIT + 1)}
    drawn["chart_mark1"] = ink(-2, -1, 2 + count * (_BAR + 2), 0)
    for height in range(1, TALLEST_BAR + 1):
        drawn[f"chart_mark{height + 1}"] = ink(-2, height * _UNIT - 1, 0, height * _UNIT)
    for bar in range(count):
        x = 2 + bar * (_BAR + 2)
        shape = ink(x, 0, x + _BAR, int(printed.bar_height[bar]) * _UNIT)
        rgb = COLOUR_RGB[COLOURS[printed.bar_colour[bar]]]
        drawn[f"chart_bar{bar}"] = Rectangle(shape.box_m, rgb, _INK_TOP_M)
    return drawn


def corner_m(size_m: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Lower left corner (2,) of a paper somewhere on the table, on the grid of pixels."""
    lowest = np.ceil(-TABLE_HALF_M / PIXEL_M)
    highest = np.floor((TABLE_HALF_M - size_m) / PIXEL_M + 1e-9)
    return PIXEL_M * np.array([rng.integers(lowest, high + 1) for high in highest])
