"""Targets on the table, found by their pale colours and their known size; and paint near a place.

The state probe reads what moves. Targets lie still and are discs of one flat tint, so matching a
disc is enough, also where objects cover part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from envs.push_scene import COLOUR_RGB, TABLE_RGB, ZONE_RADIUS_M
from multimodal.language.vocabulary import COLOURS, HALF_VIEW_M

__all__ = ["SeenZone", "painted_px", "see_zones"]

# How much of a surface's colour the scene's lights return.
_LIGHT: Final = 0.98
_TOLERANCE: Final = 20
# Of a disc so much must show: an object can cover half of it, edges of objects make up a tenth.
_SHARE: Final = 0.22
_FINE: Final = 4
_OBJECT_REACH_M: Final = 0.04
# A target has 0.45 of a full colour.
_FULL: Final = 0.62


@dataclass(frozen=True)
class SeenZone:
    """A target: its colour in words, its middle on the table, and how much of it shows."""

    colour: str
    position_m: tuple[float, float]
    share: float


def see_zones(frame: NDArray[np.uint8]) -> tuple[SeenZone, ...]:
    """The targets in a frame uint8 (H, W, 3), the clearest first."""
    side = frame.shape[0]
    pixel_m = 2 * HALF_VIEW_M / side
    near = np.abs(frame[None].astype(np.int16) - _tints()[:, None, None]).max(-1) <= _TOLERANCE
    kernels, offsets, area = _discs(ZONE_RADIUS_M / pixel_m)
    masks = torch.from_numpy(near.astype(np.float32))[:, None]
    score = F.conv2d(masks, kernels, padding=kernels.shape[-1] // 2)
    found = []
    for index, colour in enumerate(COLOURS):
        best = int(score[index].argmax())
        fine, place = divmod(best, side * side)
        row, column = divmod(place, side)
        share = float(score[index].flatten()[best]) / area
        if share < _SHARE:
            continue
        x = (column + 0.5 + offsets[fine][0] - side / 2) * pixel_m
        y = -(row + 0.5 + offsets[fine][1] - side / 2) * pixel_m
        found.append(SeenZone(colour, (x, y), share))
    return tuple(sorted(found, key=lambda zone: -zone.share))


def painted_px(frame: NDArray[np.uint8], colour: str, position_m: NDArray[np.float64]) -> int:
    """How many pixels around a place have the full colour of an object, whatever their shade.

    Args:
        frame: uint8 (H, W, 3).
        colour: one of COLOURS.
        position_m: (x, y) on the table.
    """
    side = frame.shape[0]
    pixel_m = 2 * HALF_VIEW_M / side
    column, row = position_m[0] / pixel_m + side / 2, side / 2 - position_m[1] / pixel_m
    reach = _OBJECT_REACH_M / pixel_m
    top, left = max(0, int(row - reach)), max(0, int(column - reach))
    patch = frame[top : int(row + reach) + 1, left : int(column + reach) + 1].reshape(-1, 3)
    paint = np.array(COLOUR_RGB[colour]) - np.mean(COLOUR_RGB[colour])
    hue = patch - patch.mean(-1, keepdims=True)
    along = hue @ paint / np.linalg.norm(paint)
    length = np.linalg.norm(hue, axis=-1)
    full = 255 * float(np.linalg.norm(paint))
    return int(((along > 0.95 * length) & (length > _FULL * full)).sum())


@cache
def _tints() -> NDArray[np.int16]:
    """What each colour's target looks like, (K, 3)."""
    rgb = np.array([COLOUR_RGB[colour] for colour in COLOURS])
    tint = 0.45 * rgb + 0.55 * np.array(TABLE_RGB)
    return np.round(255 * _LIGHT * tint).astype(np.int16)


@cache
def _discs(radius_px: float) -> tuple[Tensor, list[tuple[float, float]], float]:
    """Discs at fractions of a pixel (F, 1, s, s), their offsets (x, y), and the area of one.

    Around each lies a ring that counts against: a disc has to end where it should.
    """
    half = int(np.ceil(radius_px)) + 2
    axis = np.arange(-half, half + 1)
    offsets = [
        ((a + 0.5) / _FINE - 0.5, (b + 0.5) / _FINE - 0.5)
        for a in range(_FINE)
        for b in range(_FINE)
    ]
    kernels = []
    for x, y in offsets:
        distance = np.hypot(axis[None, :] - x, axis[:, None] - y)
        disc = np.clip(radius_px - distance + 0.5, 0, 1)
        ring = np.clip(radius_px + 2 - distance + 0.5, 0, 1) - disc
        kernels.append(disc - 0.5 * ring)
    area = float(np.pi * radius_px**2)
    return torch.tensor(np.stack(kernels)[:, None], dtype=torch.float32), offsets, area
