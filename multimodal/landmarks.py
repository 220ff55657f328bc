"""What is where in a frame, token by token: dense labels from state, to teach a vision tower with.

A caption or an answer says one thing of a whole frame; the simulator knows what every token shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from multimodal.language import COLOURS, HELD_OUT_COMBINATIONS, SHAPES, Scene
from multimodal.language.about_motion import MOVED_M, STILL_M
from multimodal.language.about_print import TALLEST_BAR
from multimodal.language.vocabulary import GLYPHS, HALF_VIEW_M
from multimodal.pictures import NAMELESS, Pictures

__all__ = ["KINDS", "UNKNOWN", "LandmarkPictures", "landmarks"]

UNKNOWN = -1.0
_WAYS = ("left", "right", "up", "down")
KINDS: tuple[str, ...] = (
    *(f"{colour} object" for colour in COLOURS),
    *SHAPES,
    *(f"{colour} target" for colour in COLOURS),
    "pusher",
    *(f"letter {glyph}" for glyph in GLYPHS),
    *(f"{colour} bar {height}" for colour in COLOURS for height in range(1, TALLEST_BAR + 1)),
    "moved",
    *(f"moved {way}" for way in _WAYS),
)
"""What a token can be the place of."""
_NUMBER = {kind: number for number, kind in enumerate(KINDS)}
_PIXEL_M = 2 * HALF_VIEW_M / 64
# Middles of characters and feet of bars on their papers, as `envs.reading_scene` lays them out.
_CHARACTER_PX, _CHARACTER_PITCH_PX = 7, 12
_BAR_PX, _BAR_PITCH_PX, _FOOT_PX = 7, 6, 4


def landmarks(scene: Scene, before: Scene | None = None, tokens: int = 64) -> NDArray[np.float32]:
    """How much each token of a square frame is the place of each of KINDS.

    A thing's middle is shared among the four tokens around it, the nearer the more, so that its
    place inside a token is told as well.

    Args:
        scene: what the frame shows; objects NAMELESS in colour leave all colours unknown.
        before: an earlier frame of the same episode, to say what moved since.
        tokens: N.

    Returns:
        float32 (N, KINDS) in [0, 1]; UNKNOWN where nothing may be concluded, as of shapes at an
        object in a colour that the shape is held out in.
    """
    side = round(tokens**0.5)
    grid = np.zeros((side, side, len(KINDS)), np.float32)
    nameless = any(thing.colour == NAMELESS for thing in scene.objects)
    for thing in scene.objects:
        if not nameless:
            _mark(grid, (thing.x_m, thing.y_m), f"{thing.colour} object")
        _mark(grid, (thing.x_m, thing.y_m), thing.shape)
    for zone in scene.zones:
        _mark(grid, (zone.x_m, zone.y_m), f"{zone.colour} target")
    _mark(grid, scene.pusher_m, "pusher")
    _mark_print(grid, scene)
    if before is not None:
        _mark_moved(grid, scene, before)
    if nameless:
        for colour in COLOURS:
            grid[..., [_NUMBER[f"{colour} object"], _NUMBER[f"{colour} target"]]] = UNKNOWN
    for colour, shape in HELD_OUT_COMBINATIONS:
        grid[grid[..., _NUMBER[f"{colour} object"]] > 0, _NUMBER[shape]] = UNKNOWN
    return grid.reshape(tokens, len(KINDS))


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
        _mark(grid, (x_m, (bottom_m + top_m) / 2), f"letter {glyph}")
    left_m, bottom_m, _, _ = scene.chart_box_m
    for place, bar in enumerate(scene.bars):
        x_m = left_m + _PIXEL_M * (_BAR_PX + _BAR_PITCH_PX * place)
        _mark(grid, (x_m, bottom_m + _PIXEL_M * _FOOT_PX), f"{bar.colour} bar {bar.height}")


def _mark_moved(grid: NDArray[np.float32], scene: Scene, before: Scene) -> None:
    for thing, earlier in zip(scene.objects, before.objects, strict=True):
        right_m, up_m = thing.x_m - earlier.x_m, thing.y_m - earlier.y_m
        moved_m = float(np.hypot(right_m, up_m))
        if moved_m <= STILL_M:
            continue
        place = (thing.x_m, thing.y_m)
        if moved_m < MOVED_M:
            for row, column, _ in _around(place, len(grid)):
                grid[row, column, _NUMBER["moved"] :] = UNKNOWN
            continue
        _mark(grid, place, "moved")
        along = max(abs(right_m), abs(up_m))
        sideways = abs(right_m) > abs(up_m)
        way = ("left" if right_m < 0 else "right") if sideways else ("down" if up_m < 0 else "up")
        if abs(abs(right_m) - abs(up_m)) > along / 3:
            _mark(grid, place, f"moved {way}")


class LandmarkPictures(Dataset[dict[str, Any]]):
    """Single pictures with their landmarks; item i is a function of (seed, i) and the sources.

    It holds "latents" and "changes" float16 (N, C), the changes since an earlier frame of the
    episode or zeros, and "landmarks" float32 (N, KINDS).

    Args:
        sources: the pictures.
        shares: how often each source is drawn from.
        split: whose.
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        moved: share of pictures of episodes that are compared with an earlier one.
    """

    def __init__(
        self,
        sources: Sequence[Pictures],
        shares: Sequence[float],
        split: str,
        seed: int,
        samples: int,
        moved: float = 0.3,
    ) -> None:
        self.sources, self.seed, self.samples, self.moved = list(sources), seed, samples, moved
        self.bounds = np.cumsum(shares) / np.sum(shares)
        self.numbers = [source.numbers(split) for source in self.sources]
        self._ends = [source.ends() for source in self.sources]

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.samples:
            raise IndexError(f"picture {index} of {self.samples}")
        rng = np.random.default_rng([self.seed, index, 9])
        which = int(np.searchsorted(self.bounds, rng.random(), side="right"))
        source, ends = self.sources[which], self._ends[which]
        number = int(rng.choice(self.numbers[which]))
        later = int(ends[number])
        before, latents = None, source.latents[number]
        changes = np.zeros_like(latents)
        if later > number and rng.random() < self.moved:
            before = source.scene(number)
            number = later if rng.random() < 0.5 else int(rng.integers(number, later)) + 1
            changes, latents = source.latents[number] - latents, source.latents[number]
        found = landmarks(source.scene(number), before, len(latents))
        return {"latents": np.array(latents), "changes": changes, "landmarks": found}
