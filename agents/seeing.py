"""What an agent makes of a frame: objects, targets and the pusher, read off the pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agents.planning.bodies import Bodies, read_bodies
from agents.zones import SeenZone, painted_px, see_zones
from envs.gap.probe import StateProbe
from multimodal.errors import FrameError
from multimodal.language.vocabulary import COLOURS, SHAPES

__all__ = ["Eyes", "SeenObject", "Sighting", "fitted"]

_PRESENT: Final = 0.5
# The probe was taught on bare tables and takes black print for objects now and then: a thing has to
# show some of its colour, of the 40 pixels or more that it covers.
_LEAST_PX: Final = 6


@dataclass(frozen=True)
class SeenObject:
    """An object that is seen.

    Attributes:
        colour: in words; no two objects of a scene share one.
        shape: the likeliest, in words.
        position_m: (x, y) on the table.
        shapes: probability of each shape.
    """

    colour: str
    shape: str
    position_m: tuple[float, float]
    shapes: Mapping[str, float]

    @property
    def name(self) -> str:
        """Colour and shape: "red cube"."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, eq=False)
class Sighting:
    """What one frame shows.

    Attributes:
        bodies: the probe's readings, without leading axes.
        objects: what stands on the table.
        zones: the targets.
        frame: the frame itself, as it came, None where it is not kept.
    """

    bodies: Bodies
    objects: tuple[SeenObject, ...]
    zones: tuple[SeenZone, ...]
    frame: NDArray[np.uint8] | None = None

    def object(self, colour: str) -> SeenObject | None:
        """The object of this colour, None where none is seen."""
        return next((thing for thing in self.objects if thing.colour == colour), None)

    def zone(self, colour: str) -> SeenZone | None:
        """The target of this colour, None where none is seen."""
        return next((zone for zone in self.zones if zone.colour == colour), None)

    def summary(self) -> dict[str, Any]:
        """For traces: names and positions, JSON values only."""
        return {
            "pusher_m": [round(float(value), 4) for value in self.bodies.pusher_m],
            "objects": {
                thing.name: [round(value, 4) for value in thing.position_m]
                for thing in self.objects
            },
            "zones": {
                zone.colour: [round(value, 4) for value in zone.position_m] for zone in self.zones
            },
        }


class Eyes:
    """Looks at frames of any size, through the probe that came with a world model.

    Args:
        probe: reads pusher and objects.
    """

    def __init__(self, probe: StateProbe) -> None:
        self.probe = probe
        self._size = (int(probe.config["height_px"]), int(probe.config["width_px"]))

    def look(self, frame: NDArray[np.uint8], zones: tuple[SeenZone, ...] = ()) -> Sighting:
        """Read one frame.

        Args:
            frame: uint8 (H, W, 3), of any size from 16 px on.
            zones: targets known already, which do not move; looked for where there are none.

        Raises:
            FrameError: no picture.
        """
        seen = self.fitted(frame)
        bodies = read_bodies(self.probe, seen[None])[0]
        objects = tuple(
            SeenObject(
                COLOURS[colour],
                SHAPES[int(bodies.shape[colour].argmax())],
                (float(bodies.position_m[colour, 0]), float(bodies.position_m[colour, 1])),
                dict(zip(SHAPES, map(float, bodies.shape[colour]), strict=True)),
            )
            for colour in np.flatnonzero(bodies.presence > _PRESENT)
            if painted_px(seen, COLOURS[colour], bodies.position_m[colour]) >= _LEAST_PX
        )
        return Sighting(bodies, objects, zones or see_zones(seen), frame)

    def fitted(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The frame at the size the probe reads; arguments as in `fitted`."""
        return fitted(frame, self._size)


def fitted(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture of any size as one of (height, width), its middle square kept.

    Raises:
        FrameError: not uint8 (H, W, 3), or smaller than 16 px.
    """
    picture = np.asarray(frame)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise FrameError(
            f"A frame must be uint8 (H, W, 3), got {picture.dtype} {picture.shape}. "
            "Convert it to RGB first."
        )
    if min(picture.shape[:2]) < 16:
        raise FrameError(f"A frame of {picture.shape[:2]} px shows nothing; 16 px is the least.")
    if picture.shape[:2] == size:
        return picture
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    square = Image.fromarray(picture[top : top + side, left : left + side])
    return np.asarray(square.resize((size[1], size[0]), Image.Resampling.BOX))
