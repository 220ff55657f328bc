"""What a screenshot of the page shows: swatches, the field, the button, found by their paint.

Pixels only, of any size and scale. Letters are never read, so whatever is written on the page, what
is done is up to the instruction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from envs.push_scene import COLOUR_RGB
from multimodal.errors import FrameError
from multimodal.language.vocabulary import COLOURS

__all__ = ["Element", "PageSighting", "see_page"]

_BUTTON_RGB: Final = (11, 114, 133)
_FIELD_RGB: Final = (54, 79, 199)
_CHOSEN_RGB: Final = (22, 22, 28)
_NEAR: Final = 12
_LEAST_PX: Final = 12


@dataclass(frozen=True)
class Element:
    """A rectangle of one paint: left, top, right, bottom in pixels, and its filled share."""

    box: tuple[int, int, int, int]
    filled: float

    @property
    def middle(self) -> tuple[float, float]:
        """Where to click it (x, y)."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def width(self) -> int:
        """In pixels."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> int:
        """In pixels."""
        return self.box[3] - self.box[1]


@dataclass(frozen=True)
class PageSighting:
    """What is on the visible part of the page.

    Attributes:
        swatches: colour in words to its swatch.
        chosen: colour of the swatch with a ring around it, "" for none.
        button: the start button where it can be pressed, None elsewhere.
        field: the text field, None where it is not seen.
        focused: whether the field has a ring around it.
        running: colour of the bar that shows what was started, "" for none.
    """

    swatches: dict[str, Element]
    chosen: str
    button: Element | None
    field: Element | None
    focused: bool
    running: str


def see_page(shot: NDArray[np.uint8]) -> PageSighting:
    """Read a screenshot uint8 (H, W, 3).

    Raises:
        FrameError: no picture.
    """
    if shot.dtype != np.uint8 or shot.ndim != 3 or shot.shape[2] != 3:
        raise FrameError(f"A screenshot must be uint8 (H, W, 3), got {shot.dtype} {shot.shape}.")
    swatches: dict[str, Element] = {}
    running = ""
    for colour in COLOURS:
        paint = tuple(round(255 * part) for part in COLOUR_RGB[colour])
        for element in _painted(shot, paint):
            if element.width > 0.9 * shot.shape[1]:
                running = colour
            elif element.filled > 0.9 and 0.8 < element.width / element.height < 1.25:
                swatches[colour] = element
    chosen = [colour for colour, element in swatches.items() if _ringed(shot, element)]
    buttons = [e for e in _painted(shot, _BUTTON_RGB) if e.width > 2 * e.height]
    fields = [e for e in _painted(shot, _FIELD_RGB) if e.width > 3 * e.height and e.filled < 0.5]
    field = fields[0] if fields else None
    return PageSighting(
        swatches=swatches,
        chosen=chosen[0] if chosen else "",
        button=buttons[0] if buttons else None,
        field=field,
        focused=field is not None and _ringed(shot, field),
        running=running,
    )


def _painted(shot: NDArray[np.uint8], rgb: tuple[int, ...]) -> Iterator[Element]:
    """Connected areas of one paint, the largest first."""
    near = np.abs(shot.astype(np.int16) - np.array(rgb, np.int16)).max(-1) <= _NEAR
    labels, count = ndimage.label(near)
    if not count:
        return
    areas = np.bincount(labels.ravel())[1:]
    places = ndimage.find_objects(labels)
    for index in np.argsort(-areas):
        rows, columns = places[index]
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if min(height, width) >= _LEAST_PX or width > 0.9 * shot.shape[1]:
            box = (columns.start, rows.start, columns.stop, rows.stop)
            yield Element(box, float(areas[index]) / (height * width))


def _ringed(shot: NDArray[np.uint8], element: Element) -> bool:
    """Whether a dark ring lies just outside."""
    left, top, right, bottom = element.box
    row = shot[(top + bottom) // 2].astype(np.int16)
    sides = [row[max(0, left - 3)], row[min(len(row) - 1, right + 2)]]
    return all(np.abs(side - np.array(_CHOSEN_RGB)).max() <= 2 * _NEAR for side in sides)
