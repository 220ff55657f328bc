"""What is where in a frame, token by token: dense labels from state, to teach a vision tower with.

A caption or an answer says one thing of a whole frame; the simulator knows what every token of the
grid shows. Labelled is what lies on the table and cannot be cut out of it: targets and print.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from multimodal.language import COLOURS, Scene
from multimodal.language.about_print import MOST_BARS, TALLEST_BAR
from multimodal.language.vocabulary import GLYPHS, HALF_VIEW_M
from multimodal.pictures import Pictures

__all__ = ["BAR_DETAILS", "DETAILS", "KINDS", "LandmarkPictures", "details", "landmarks"]

_MOST_LETTERS = 4
KINDS: tuple[str, ...] = (
    *(f"{colour} target" for colour in COLOURS),
    *(f"letter {glyph}" for glyph in GLYPHS),
    *(f"letter number {place}" for place in range(1, _MOST_LETTERS + 1)),
    *(f"{colour} bar {height}" for colour in COLOURS for height in range(1, TALLEST_BAR + 1)),
    *(f"bar number {place}" for place in range(1, MOST_BARS + 1)),
)
"""What a token can be the place of."""
DETAILS = _MOST_LETTERS + MOST_BARS
"""What is printed, one by one: the characters of a sign, then the bars of a chart."""
BAR_DETAILS = range(_MOST_LETTERS, DETAILS)
"""Numbers of the bars among them."""
_NUMBER = {kind: number for number, kind in enumerate(KINDS)}
_PIXEL_M = 2 * HALF_VIEW_M / 64
# Middles of characters and feet of bars on their papers, as `envs.reading_scene` lays them out.
_CHARACTER_PX, _CHARACTER_PITCH_PX = 7, 12
_BAR_PX, _BAR_PITCH_PX, _FOOT_PX = 7, 6, 4


def landmarks(scene: Scene, tokens: int = 64) -> NDArray[np.float32]:
    """How much each token of a square frame is the place of each of KINDS.

    A thing's middle is shared among the four tokens around it, the nearer the more, so that its
    place inside a token is told as well.

    Args:
        scene: what the frame shows.
        tokens: N.

    Returns:
        float32 (N, KINDS) in [0, 1].
    """
    side = round(tokens**0.5)
    grid = np.zeros((side, side, len(KINDS)), np.float32)
    for zone in scene.zones:
        _mark(grid, (zone.x_m, zone.y_m), f"{zone.colour} target")
    _mark_print(grid, scene)
    return grid.reshape(tokens, len(KINDS))


def details(scene: Scene) -> NDArray[np.int64]:
    """What each of DETAILS is.

    Returns:
        int64 (DETAILS, 3): a character's place in GLYPHS, a bar's colour in COLOURS and its height;
        -1 for what it has not.
    """
    found = np.full((DETAILS, 3), -1, np.int64)
    for place, glyph in enumerate(scene.text):
        found[place, 0] = GLYPHS.index(glyph)
    for place, bar in enumerate(scene.bars):
        found[_MOST_LETTERS + place, 1:] = COLOURS.index(bar.colour), bar.height
    return found


def _mark(grid: NDArray[np.float32], point_m: Sequence[float], kind: str) -> None:
    for row, column, share in _around(point_m, len(grid)):
        grid[row, column, _NUMBER[kind]] = max(share, grid[row, column, _NUMBER[kind]])


def _around(point_m: Sequence[float], side: int) -> list[tuple[int, int, float]]:
    """Row, column and share of the four tokens around a point of the table."""
    across = min(max((point_m[0] / HALF_VIEW_M + 1) / 2 * side - 0.5, 0.0), side - 1.001)
    down = min(max((1 - point_m[1] / HALF_VIEW_M) / 2 * side - 0.5, 0.0), side - 1.001)
    column, row = int(across), int(down)
    right, below = across - column, down - row
    return [
        (row, column, (1 - below) * (1 - right)),
        (row, column + 1, (1 - below) * right),
        (row + 1, column, below * (1 - right)),
        (row + 1, column + 1, below * right),
    ]


def _mark_print(grid: NDArray[np.float32], scene: Scene) -> None:
    left_m, bottom_m, _, top_m = scene.sign_box_m
    for place, glyph in enumerate(scene.text):
        x_m = left_m + _PIXEL_M * (_CHARACTER_PX + _CHARACTER_PITCH_PX * place)
        for kind in (f"letter {glyph}", f"letter number {place + 1}"):
            _mark(grid, (x_m, (bottom_m + top_m) / 2), kind)
    left_m, bottom_m, _, _ = scene.chart_box_m
    for place, bar in enumerate(scene.bars):
        x_m = left_m + _PIXEL_M * (_BAR_PX + _BAR_PITCH_PX * place)
        for kind in (f"{bar.colour} bar {bar.height}", f"bar number {place + 1}"):
            _mark(grid, (x_m, bottom_m + _PIXEL_M * _FOOT_PX), kind)


class LandmarkPictures(Dataset[dict[str, Any]]):
    """Single pictures with their landmarks; item i is a function of (seed, i) and the sources.

    It holds "glances" float16 (P,) and "landmarks" float32 (N, KINDS).

    Args:
        sources: the pictures.
        shares: how often each source is drawn from.
        split: whose.
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
    """

    def __init__(
        self,
        sources: Sequence[Pictures],
        shares: Sequence[float],
        split: str,
        seed: int,
        samples: int,
    ) -> None:
        self.sources, self.seed, self.samples = list(sources), seed, samples
        self.bounds = np.cumsum(shares) / np.sum(shares)
        self.numbers = [source.numbers(split) for source in self.sources]

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.samples:
            raise IndexError(f"picture {index} of {self.samples}")
        rng = np.random.default_rng([self.seed, index, 9])
        which = int(np.searchsorted(self.bounds, rng.random(), side="right"))
        source = self.sources[which]
        number = int(rng.choice(self.numbers[which]))
        found = landmarks(source.scene(number), source.layout.tokens)
        return {"glances": source.glances([number])[0], "landmarks": found}
