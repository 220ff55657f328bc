"""`worldmodel/Reading-v0`: the Push table with something to read, a sign or a bar chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from envs.mujoco_world import require_arrays
from envs.push import PushWorld
from envs.push_scene import COLOURS, TABLE_HALF_M, ZONE_RADIUS_M, push_mjcf
from envs.reading_scene import (
    LONGEST_TEXT,
    PIXEL_M,
    PrintedTable,
    corner_m,
    paper_size_m,
    printed_geoms,
    rectangles,
)
from multimodal.errors import ConfigError, StateError
from multimodal.language.about_print import COVER_M, MOST_BARS, TALLEST_BAR
from multimodal.language.scene import Scene
from multimodal.language.vocabulary import GLYPHS

__all__ = ["ReadingWorld"]

_MOST_OBJECTS: Final = 2
_BOTH_SHARE: Final = 0.3
_CLEARANCE_M: Final = COVER_M + 0.002
# Of the places where a target or an object may lie so much must be free of paper.
_FREE_SHARE: Final = 0.12
_TRIES: Final = 40


class ReadingWorld(PushWorld):
    """A Push table with a flat sign of 2 to 4 characters, a chart of 2 to 5 bars, or both.

    The sign reads random letters and digits (see GLYPHS), so that no language model can guess it.
    Nothing lies on the paper when an episode begins; pusher and objects may cover it later.

    Args:
        objects: how many objects, 1 or 2, or a (low, high) pair drawn for each scene.
        size_px: side of the frame.
        reward: "dense" or "sparse".
        sign: whether scenes may have a sign.
        chart: whether scenes may have a chart; with both, some scenes have one and some the other,
            and some both.
        randomise: draw mass and friction for each scene.
        max_steps: truncation; 0 never truncates.
        terminate_on_success: False goes on after the goal is reached, for recording.

    Raises:
        ConfigError: an option out of range, or neither sign nor chart.
    """

    KIND: ClassVar[str] = "reading"
    STATE_UNITS: ClassVar[Mapping[str, str]] = {
        **PushWorld.STATE_UNITS,
        "sign_text": "index into GLYPHS",
        "sign_box_m": "m",
        "bar_colour": "index into COLOURS",
        "bar_height": "marks of the axis",
        "chart_box_m": "m",
    }

    def __init__(
        self,
        objects: int | Sequence[int] = (1, 2),
        size_px: int = 64,
        reward: Literal["dense", "sparse"] = "dense",
        *,
        sign: bool = True,
        chart: bool = True,
        randomise: bool = False,
        max_steps: int = 200,
        terminate_on_success: bool = True,
        render_mode: str | None = "rgb_array",
    ) -> None:
        if not sign and not chart:
            raise ConfigError("sign=false and chart=false leave nothing to read; set one to true.")
        if np.max(objects) > _MOST_OBJECTS:
            raise ConfigError(
                f"objects is {objects!r}; beside a sign or a chart there is room for "
                f"{_MOST_OBJECTS}. Use worldmodel/Push-v0 for more."
            )
        super().__init__(
            objects,
            size_px,
            reward,
            randomise=randomise,
            max_steps=max_steps,
            terminate_on_success=terminate_on_success,
            render_mode=render_mode,
        )
        self._may_print = (sign, chart)
        self._print_geoms = {
            name: int(self.model.geom(name).id) for name in rectangles(PrintedTable())
        }
        self.printed = PrintedTable()

    def _mjcf(self, pixels: int) -> str:
        return push_mjcf(pixels, printed_geoms())

    # Scene ------------------------------------------------------------------------------------

    def _reset_scene(self, options: Mapping[str, Any]) -> None:
        self._show_print(self._draw_print())
        super()._reset_scene(options)

    def _draw_print(self) -> PrintedTable:
        """Text, bars and places that leave room for targets, objects and the pusher."""
        both = all(self._may_print) and self.np_random.random() < _BOTH_SHARE
        sign = self._may_print[0] and (
            both or not self._may_print[1] or self.np_random.random() < 0.5
        )
        while True:
            for _ in range(_TRIES):
                printed = self._draw_one(sign, both or not sign)
                if self._leaves_room(printed):
                    return printed
            both = False

    def _draw_one(self, sign: bool, chart: bool) -> PrintedTable:
        parts: dict[str, NDArray[Any]] = {}
        if sign:
            text = np.full(LONGEST_TEXT, -1)
            length = int(self.np_random.integers(2, LONGEST_TEXT + 1))
            text[:length] = self.np_random.integers(len(GLYPHS), size=length)
            size_m = paper_size_m(characters=length)
            corner = corner_m(size_m, self.np_random)
            parts |= {"text": text, "sign_box_m": np.concatenate([corner, corner + size_m])}
        if chart:
            count = int(self.np_random.integers(2, MOST_BARS + 1))
            colours = np.full(MOST_BARS, -1)
            heights = np.zeros(MOST_BARS, np.int64)
            colours[:count] = self.np_random.permutation(len(COLOURS))[:count]
            heights[:count] = self.np_random.integers(1, TALLEST_BAR + 1, size=count)
            size_m = paper_size_m(bars=count)
            corner = corner_m(size_m, self.np_random)
            parts |= {
                "bar_colour": colours,
                "bar_height": heights,
                "chart_box_m": np.concatenate([corner, corner + size_m]),
            }
        return PrintedTable(**parts)

    def _leaves_room(self, printed: PrintedTable) -> bool:
        sign, chart = printed.sign_box_m, printed.chart_box_m
        if sign.any() and chart.any():
            apart = (sign[:2] > chart[2:] + PIXEL_M / 2) | (chart[:2] > sign[2:] + PIXEL_M / 2)
            if not apart.any():
                return False
        for reach_m in (TABLE_HALF_M - ZONE_RADIUS_M, TABLE_HALF_M - 0.05):
            axis = np.linspace(-reach_m, reach_m, 24)
            points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
            if _clear(points, printed).mean() < _FREE_SHARE:
                return False
        return True

    def _scatter(self, count: int, reach_m: float, apart_m: float) -> NDArray[np.float64]:
        """Points as on the Push table, none of them on or close to paper."""
        while True:
            points = self.np_random.uniform(-reach_m, reach_m, (64, 2))
            points = points[_clear(points, self.printed)][:count]
            if len(points) < count:
                continue
            gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
            if (gaps[np.triu_indices(count, 1)] > apart_m).all():
                return points

    def _show_print(self, printed: PrintedTable) -> None:
        self.printed = printed
        model = self.model
        for name, rectangle in rectangles(printed).items():
            geom = self._print_geoms[name]
            if rectangle is None:
                model.geom_rgba[geom] = 0
                continue
            left, bottom, right, top = rectangle.box_m
            half_m = rectangle.top_m / 2
            model.geom_pos[geom] = ((left + right) / 2, (bottom + top) / 2, half_m)
            model.geom_size[geom] = ((right - left) / 2, (top - bottom) / 2, half_m)
            model.geom_rgba[geom] = (*rectangle.rgb, 1.0)

    # What is known ----------------------------------------------------------------------------

    def named_state(self) -> dict[str, NDArray[Any]]:
        """The named state of the Push table, and what is printed: codes, values, places."""
        return super().named_state() | self.printed.named()

    def captions(self) -> list[str]:
        """What is on the table, and what the sign reads or the chart shows."""
        scene = Scene.from_state(self.named_state())
        sentences = super().captions()
        if scene.text:
            sentences.append(f"a sign on the table says {scene.text}")
        if scene.bars:
            bars = ", ".join(f"{bar.colour} {bar.height}" for bar in scene.bars)
            sentences.append(f"a chart on the table shows {bars}")
        return sentences

    # Saving -----------------------------------------------------------------------------------

    def _extra_arrays(self) -> dict[str, NDArray[Any]]:
        return super()._extra_arrays() | self.printed.named()

    def _restore_extra(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        names = list(self.printed.named())
        require_arrays(arrays, names)
        for name, known in self.printed.named().items():
            if np.shape(arrays[name]) != known.shape:
                raise StateError(
                    f"the saved {name} has shape {np.shape(arrays[name])}, expected {known.shape}. "
                    "Pass it on as save_state() gave it."
                )
        super()._restore_extra(arrays)
        self._show_print(PrintedTable(*(np.array(arrays[name]) for name in names)))

    def _geom_label(self, index: int) -> str:
        """Paper and what is printed on it are labelled "sign" and "chart"."""
        name = super()._geom_label(index)
        for paper in ("sign", "chart"):
            if name.startswith(paper):
                return paper
        return name


def _clear(points_m: NDArray[np.float64], printed: PrintedTable) -> NDArray[np.bool_]:
    """Which of the points (N, 2) are far enough from paper."""
    free = np.ones(len(points_m), np.bool_)
    for box_m in (printed.sign_box_m, printed.chart_box_m):
        if box_m.any():
            inside = (points_m > box_m[:2] - _CLEARANCE_M) & (points_m < box_m[2:] + _CLEARANCE_M)
            free &= ~inside.all(axis=1)
    return free
