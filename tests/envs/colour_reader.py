"""A classical reader of Push frames, independent of the trained probe: colours, not a network."""

import colorsys

import numpy as np

from envs.gap.readings import Readings
from envs.push_scene import COLOUR_RGB

EXTENT_M = 0.2138
_HUES = [colorsys.rgb_to_hsv(*rgb)[0] for rgb in COLOUR_RGB.values()]


def read_by_colour(frames, shapes):
    """Read positions and presence off saturated pixels; shapes are taken over from `shapes`."""
    seen = [[_read(frame) for frame in episode] for episode in frames]
    pusher = np.array([[entry[0] for entry in episode] for episode in seen], np.float32)
    position = np.array([[entry[1] for entry in episode] for episode in seen], np.float32)
    present = np.array([[entry[2] for entry in episode] for episode in seen])
    return Readings(pusher, position, present, shapes, present.astype(np.int64))


def _read(frame):
    pixels = frame.astype(np.float64) / 255
    high, low = pixels.max(-1), pixels.min(-1)
    saturation = np.where(high > 0, (high - low) / np.maximum(high, 1e-6), 0)
    inner = np.zeros(high.shape, bool)
    inner[2:-2, 2:-2] = True
    hue = _hue(pixels, high, high - low)
    position, present = [], []
    for wanted in _HUES:
        away = np.abs(hue - wanted)
        mask = inner & (saturation > 0.72) & (high > 0.3) & (np.minimum(away, 1 - away) < 0.045)
        present.append(mask.sum() >= 8)
        position.append(_centre(mask))
    return _centre(inner & (high < 0.2)), position, present


def _hue(pixels, high, spread):
    red, green, blue = np.moveaxis(pixels, -1, 0)
    spread = np.maximum(spread, 1e-6)
    turn = np.select(
        [high == red, high == green],
        [(green - blue) / spread % 6, (blue - red) / spread + 2],
        (red - green) / spread + 4,
    )
    return turn / 6


def _centre(mask):
    if not mask.any():
        return np.zeros(2)
    rows, columns = np.nonzero(mask)
    side = len(mask)
    x, y = (columns.mean() + 0.5) / side * 2 - 1, 1 - (rows.mean() + 0.5) / side * 2
    return np.array([x, y]) * EXTENT_M
