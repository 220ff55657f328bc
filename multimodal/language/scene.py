"""What a frame of the Push table shows, read from the simulator's named state alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import StateError
from multimodal.language.vocabulary import COLOURS, GLYPHS, SHAPES

__all__ = ["Bar", "Scene", "SceneObject", "Zone"]

State = Mapping[str, NDArray[Any]]

_NEEDED = (
    "pusher_position_m",
    "object_position_m",
    "object_shape",
    "object_colour",
    "zone_position_m",
    "zone_colour",
)


@dataclass(frozen=True)
class SceneObject:
    """An object on the table.

    Attributes:
        colour: its colour in words; no two objects of a scene share one.
        shape: its shape in words.
        x_m: position to the right of the table's middle.
        y_m: position above the table's middle, as seen.
    """

    colour: str
    shape: str
    x_m: float
    y_m: float

    @property
    def name(self) -> str:
        """Colour and shape: "red cube"."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Zone:
    """A round target on the table: its colour in words and where its middle lies."""

    colour: str
    x_m: float
    y_m: float


@dataclass(frozen=True)
class Bar:
    """A bar of the chart: its colour in words and its height in marks of the axis."""

    colour: str
    height: int


@dataclass(frozen=True)
class Scene:
    """One frame in words and positions.

    Attributes:
        objects: what stands on the table, in the order of the slots.
        zones: the two targets.
        pusher_m: where the pusher is (x, y).
        text: what the sign reads; empty without a sign.
        bars: the chart's bars from left to right; empty without a chart.
        sign_box_m: left, bottom, right and top of the sign, zeros without one.
        chart_box_m: the same of the chart.
    """

    objects: tuple[SceneObject, ...]
    zones: tuple[Zone, ...]
    pusher_m: tuple[float, float]
    text: str = ""
    bars: tuple[Bar, ...] = ()
    sign_box_m: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    chart_box_m: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @classmethod
    def from_state(cls, state: State, row: int | None = None) -> Scene:
        """Read a scene from named state.

        Args:
            state: the named state of one frame, or of many along a leading axis.
            row: which frame, where there are many.

        Raises:
            StateError: the state is not of a Push world, or names something that does not exist.
        """
        if missing := [name for name in _NEEDED if name not in state]:
            raise StateError(
                f"the state lacks {missing}; texts are made from the named state of Push worlds."
            )
        shapes = _row(state, "object_shape", row)
        colours = _row(state, "object_colour", row)
        positions = _row(state, "object_position_m", row)
        if shapes.ndim != 1 or positions.shape != (*shapes.shape, 2):
            raise StateError(
                f"object_shape has shape {shapes.shape} and object_position_m {positions.shape}; "
                "pass row=k where the state has a leading axis of frames."
            )
        objects = tuple(
            SceneObject(_word(COLOURS, c), _word(SHAPES, s), float(x), float(y))
            for s, c, (x, y) in zip(shapes, colours, positions, strict=True)
            if s >= 0
        )
        zones = tuple(
            Zone(_word(COLOURS, c), float(x), float(y))
            for c, (x, y) in zip(
                _row(state, "zone_colour", row), _row(state, "zone_position_m", row), strict=True
            )
        )
        x, y = _row(state, "pusher_position_m", row)
        return cls(objects, zones, (float(x), float(y)), **_print(state, row))

    def find(self, colour: str) -> SceneObject | None:
        """The object of this colour, None where there is none."""
        return next((thing for thing in self.objects if thing.colour == colour), None)

    @property
    def combinations(self) -> set[tuple[str, str]]:
        """Pairs of colour and shape that stand on the table."""
        return {(thing.colour, thing.shape) for thing in self.objects}


def _row(state: State, name: str, row: int | None) -> NDArray[Any]:
    return np.asarray(state[name] if row is None else state[name][row])


def _word(words: tuple[str, ...] | str, index: int) -> str:
    if not 0 <= index < len(words):
        raise StateError(f"the state names entry {index} of {len(words)}: {', '.join(words)}.")
    return words[index]


def _print(state: State, row: int | None) -> dict[str, Any]:
    """What a sign and a chart say, for worlds that have them."""
    if "sign_text" not in state:
        return {}
    codes = _row(state, "sign_text", row)
    bars = zip(_row(state, "bar_colour", row), _row(state, "bar_height", row), strict=True)
    return {
        "text": "".join(_word(GLYPHS, code) for code in codes if code >= 0),
        "bars": tuple(Bar(_word(COLOURS, c), int(height)) for c, height in bars if c >= 0),
        "sign_box_m": _box(state, "sign_box_m", row),
        "chart_box_m": _box(state, "chart_box_m", row),
    }


def _box(state: State, name: str, row: int | None) -> tuple[float, float, float, float]:
    left, bottom, right, top = (float(value) for value in _row(state, name, row))
    return left, bottom, right, top
