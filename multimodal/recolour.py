"""An object in a colour that has no name: its shape, without what its colour says of it.

In training every colour lacks a shape, and a model that knows an object's colour can tell its shape
from less than the shape. Colours between and beside the named ones take that way out, and never
make a named combination.
"""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from multimodal.language.vocabulary import HALF_VIEW_M

__all__ = ["nameless_colour", "recoloured"]

# Degrees of hue between the named ones: lime, cyan, magenta.
_NAMELESS_HUES = ((72, 92), (165, 200), (318, 335))
_GREY = 0.5
_FAR = 70.0
_RADIUS_M = 0.045
_SEEN = 0.25
_OTHER = 60.0


def nameless_colour(
    rng: np.random.Generator, background: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A colour, 0 to 255, that no word of the language means and that stands out (3,)."""
    while True:
        if rng.random() < _GREY:
            hue, saturation = rng.random(), rng.uniform(0, 0.2)
        else:
            low, high = _NAMELESS_HUES[int(rng.integers(len(_NAMELESS_HUES)))]
            hue, saturation = rng.uniform(low, high) / 360, rng.uniform(0.4, 1)
        colour = 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, rng.uniform(0.15, 1)))
        if np.linalg.norm(colour - background) > _FAR:
            return colour


def recoloured(
    frame: NDArray[np.uint8], x_m: float, y_m: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A frame with the object at a point of the table in a nameless colour.

    Args:
        frame: uint8 (H, W, 3).
        x_m: where the object is, to the right of the table's middle.
        y_m: above the table's middle.
        rng: chooses the colour.

    Returns:
        A new frame of the same shape.
    """
    height, width = frame.shape[:2]
    column = (x_m / HALF_VIEW_M + 1) / 2 * width
    row = (1 - y_m / HALF_VIEW_M) / 2 * height
    radius = _RADIUS_M / HALF_VIEW_M / 2 * width
    rows = slice(max(0, int(row - radius)), min(height, int(row + radius) + 1))
    columns = slice(max(0, int(column - radius)), min(width, int(column + radius) + 1))
    pixels = frame.astype(np.float64)
    background = np.median(pixels.reshape(-1, 3), axis=0)
    row, column = np.clip(row, 1, height - 2), np.clip(column, 1, width - 2)
    middle = pixels[int(row) - 1 : int(row) + 2, int(column) - 1 : int(column) + 2]
    colour = np.median(middle.reshape(-1, 3), axis=0)
    across = colour - background
    window = pixels[rows, columns] - background
    # How much of the object is in a pixel: edges are mixtures of its colour and the table's.
    share = np.clip(window @ across / max(float(across @ across), 1.0), 0, 1)
    left_over = np.linalg.norm(window - share[..., None] * across, axis=-1)
    share[(share < _SEEN) | (left_over > _OTHER)] = 0
    pixels[rows, columns] += share[..., None] * (nameless_colour(rng, background) - colour)
    return np.clip(pixels, 0, 255).round().astype(np.uint8)
