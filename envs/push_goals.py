"""What to do on the Push table: goals in words, as vectors and as predicates on the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from envs.push_scene import COLOURS, SHAPES, TABLE_HALF_M, ZONE_RADIUS_M
from multimodal.errors import StateError
from multimodal.language.instructions import INSTRUCTION_PHRASES, instruction
from multimodal.language.vocabulary import WALL_REACH_M, WALLS

__all__ = ["GOAL_DIM", "WALLS", "PushGoal"]

GOAL_DIM: Final = len(COLOURS) + len(COLOURS) + len(WALLS)


@dataclass(frozen=True)
class PushGoal:
    """One object to be brought to one place.

    Attributes:
        colour: index into COLOURS of the object; colours are distinct within a scene.
        shape: index into SHAPES of the object, for the words.
        zone_colour: index into COLOURS of the target zone, or -1 when the place is a wall.
        wall: index into WALLS, or -1 when the place is a zone.
        phrase: which paraphrase the instruction uses.
    """

    colour: int
    shape: int
    zone_colour: int
    wall: int
    phrase: int

    def instruction(self) -> str:
        """The goal in words."""
        zone = None if self.wall >= 0 else COLOURS[self.zone_colour]
        wall = WALLS[self.wall] if self.wall >= 0 else None
        phrase = self.phrase % INSTRUCTION_PHRASES
        colour, shape = COLOURS[self.colour], SHAPES[self.shape]
        return instruction(colour, shape, zone=zone, wall=wall, phrase=phrase)

    def vector(self) -> NDArray[np.float32]:
        """One-hot object colour, zone colour and wall: float32 (GOAL_DIM,)."""
        vector = np.zeros(GOAL_DIM, np.float32)
        vector[self.colour] = 1
        if self.wall >= 0:
            vector[2 * len(COLOURS) + self.wall] = 1
        else:
            vector[len(COLOURS) + self.zone_colour] = 1
        return vector

    def distance_m(self, object_m: NDArray[np.float64], zone_m: NDArray[np.float64]) -> float:
        """How far the object is from the place.

        Args:
            object_m: position of the goal's object (2,).
            zone_m: centre of the goal's zone (2,); ignored for a wall.
        """
        if self.wall >= 0:
            axis, sign = ((0, -1), (0, 1), (1, 1), (1, -1))[self.wall]
            return float(TABLE_HALF_M - sign * object_m[axis])
        return float(np.linalg.norm(object_m - zone_m))

    def reached(self, distance_m: float) -> bool:
        """Whether the object is there, given its distance from the place."""
        return distance_m < (WALL_REACH_M if self.wall >= 0 else ZONE_RADIUS_M)

    def array(self) -> NDArray[np.int64]:
        """The goal as five integers, for saving."""
        return np.array([self.colour, self.shape, self.zone_colour, self.wall, self.phrase])

    @classmethod
    def from_array(cls, array: NDArray[np.int64]) -> PushGoal:
        """Undo `array`.

        Raises:
            StateError: not five integers.
        """
        if np.shape(array) != (5,):
            raise StateError(f"A saved goal is five integers, got shape {np.shape(array)}.")
        return cls(*(int(value) for value in array))
