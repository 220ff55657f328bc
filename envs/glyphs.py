"""The letters and digits of a sign, each drawn with rectangles on a grid of 5 by 7 cells."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimodal.language.vocabulary import GLYPHS

__all__ = ["COLUMNS", "MOST_RECTANGLES", "RECTANGLES", "ROWS", "glyph_cells"]

ROWS: Final = 7
COLUMNS: Final = 5

# One string of seven rows a character; a space is paper.
_DRAWN: Final[dict[str, str]] = {
    "A": " ### |#   #|#   #|#####|#   #|#   #|#   #",
    "C": " ####|#    |#    |#    |#    |#    | ####",
    "E": "#####|#    |#    |#### |#    |#    |#####",
    "F": "#####|#    |#    |#### |#    |#    |#    ",
    "H": "#   #|#   #|#   #|#####|#   #|#   #|#   #",
    "J": "    #|    #|    #|    #|#   #|#   #| ### ",
    "K": "#   #|#  # |# #  |##   |# #  |#  # |#   #",
    "L": "#    |#    |#    |#    |#    |#    |#####",
    "N": "#   #|##  #|##  #|# # #|#  ##|#  ##|#   #",
    "P": "#### |#   #|#   #|#### |#    |#    |#    ",
    "R": "#### |#   #|#   #|#### |# #  |#  # |#   #",
    "T": "#####|  #  |  #  |  #  |  #  |  #  |  #  ",
    "U": "#   #|#   #|#   #|#   #|#   #|#   #| ### ",
    "X": "#   #|#   #| # # |  #  | # # |#   #|#   #",
    "Y": "#   #|#   #| # # |  #  |  #  |  #  |  #  ",
    "2": " ### |#   #|    #|  ## | #   |#    |#####",
    "3": " ### |#   #|    #|  ## |    #|#   #| ### ",
    "4": "   # |  ## | # # |#  # |#####|   # |   # ",
    "5": "#####|#    |#### |    #|    #|#   #| ### ",
    "6": " ### |#    |#    |#### |#   #|#   #| ### ",
    "7": "#####|    #|   # |  #  |  #  | #   | #   ",
    "8": " ### |#   #|#   #| ### |#   #|#   #| ### ",
    "9": " ### |#   #|#   #| ####|    #|    #| ### ",
}


def glyph_cells(character: str) -> NDArray[np.bool_]:
    """Which cells of a character are inked: bool (7, 5), top row first."""
    return np.array([[cell == "#" for cell in row] for row in _DRAWN[character].split("|")])


def _cover(cells: NDArray[np.bool_]) -> tuple[tuple[int, int, int, int], ...]:
    """Rectangles (top, left, bottom, right) that ink exactly these cells, greedily few."""
    full = [
        (top, left, bottom, right)
        for top in range(ROWS)
        for bottom in range(top + 1, ROWS + 1)
        for left in range(COLUMNS)
        for right in range(left + 1, COLUMNS + 1)
        if cells[top:bottom, left:right].all()
    ]
    left_over = cells.copy()
    chosen = []
    while left_over.any():
        best = max(full, key=lambda r: int(left_over[r[0] : r[2], r[1] : r[3]].sum()))
        left_over[best[0] : best[2], best[1] : best[3]] = False
        chosen.append(best)
    return tuple(chosen)


RECTANGLES: Final = tuple(_cover(glyph_cells(character)) for character in GLYPHS)
MOST_RECTANGLES: Final = max(len(rectangles) for rectangles in RECTANGLES)
