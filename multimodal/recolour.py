"""Frames in other colours: shapes, without what their colours say of them.

In training every colour lacks a shape, and a model that knows an object's colour can tell its shape
from less than the shape. Turning the hues of a whole frame takes that way out: shapes come in all
colours, but for those that would make a combination that is held out of training.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimodal.language.scene import Scene, SceneObject
from multimodal.language.vocabulary import HALF_VIEW_M, HELD_OUT_COMBINATIONS

__all__ = ["HUES", "seen_colour", "turned"]

HUES: Final[dict[str, float]] = {
    "red": 358.0,
    "orange": 30.0,
    "yellow": 55.0,
    "green": 132.0,
    "blue": 226.0,
    "purple": 285.0,
}
"""Hue of each named colour, in degrees."""
_APART = 22.0
_GREYEST = 0.3
_TRIES = 40


def turned(
    frame: NDArray[np.uint8], scene: Scene, rng: np.random.Generator
) -> NDArray[np.uint8] | None:
    """A frame with all hues turned, and their saturation and brightness changed.

    Args:
        frame: uint8 (H, W, 3).
        scene: what it shows.
        rng: chooses the change.

    Returns:
        A new frame of the same shape in which no object comes near a colour that its shape is held
        out in; None where no change was found that does so.
    """
    colours = [seen_colour(frame, thing) for thing in scene.objects]
    for _ in range(_TRIES):
        change = _change(rng)
        after = [np.clip(change @ colour, 0, 255) for colour in colours]
        if all(map(_allowed, after, scene.objects)):
            pixels = frame.reshape(-1, 3) @ change.T
            return np.clip(pixels, 0, 255).round().astype(np.uint8).reshape(frame.shape)
    return None


def seen_colour(frame: NDArray[np.uint8], thing: SceneObject) -> NDArray[np.float64]:
    """The colour in the middle of an object, 0 to 255, (3,)."""
    height, width = frame.shape[:2]
    column = int(np.clip((thing.x_m / HALF_VIEW_M + 1) / 2 * width, 1, width - 2))
    row = int(np.clip((1 - thing.y_m / HALF_VIEW_M) / 2 * height, 1, height - 2))
    middle = frame[row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3)
    colour: NDArray[np.float64] = np.median(middle, axis=0)
    return colour


def _change(rng: np.random.Generator) -> NDArray[np.float64]:
    """A matrix (3, 3) of colours that turns around grey, pales and dims."""
    angle = rng.uniform(0, 2 * np.pi)
    paler = rng.uniform(0.05, 1.1) if rng.random() < 0.5 else rng.uniform(0.7, 1.1)
    cosine, sine = paler * np.cos(angle), paler * np.sin(angle)
    grey = np.full((3, 3), 1 / 3)
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = grey + cosine * (np.eye(3) - grey) + sine * across
    return rng.uniform(0.92, 1.04) * turn


def _allowed(colour: NDArray[np.float64], thing: SceneObject) -> bool:
    """Whether a colour is far from those that the thing's shape is held out in."""
    hue, saturation, _ = colorsys.rgb_to_hsv(*(colour / 255))
    return saturation < _GREYEST or all(
        abs((360 * hue - HUES[name] + 180) % 360 - 180) > _APART for name in _barred(thing.shape)
    )


def _barred(shape: str) -> Sequence[str]:
    return [colour for colour, held_out in HELD_OUT_COMBINATIONS if held_out == shape]
