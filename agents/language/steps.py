"""One thing to be done: an object, and the predicate that says when it is done."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.planning.cost import Place
from agents.seeing import Sighting
from envs.push_goals import PushGoal
from multimodal.errors import StateError
from multimodal.language.vocabulary import COLOURS, SHAPES, WALLS

__all__ = ["AtWall", "Colour", "InZone", "Shape", "Step", "Wall"]

Colour = Literal["red", "orange", "yellow", "green", "blue", "purple"]
Shape = Literal["cube", "ball", "triangle", "cross"]
Wall = Literal["left", "right", "top", "bottom"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InZone(_Value):
    """True when the object's middle is inside the target of this colour."""

    kind: Literal["in_zone"] = "in_zone"
    zone: Colour

    def words(self) -> str:
        """As it is said."""
        return f"the {self.zone} target"


class AtWall(_Value):
    """True when the object's middle is within reach of this wall."""

    kind: Literal["at_wall"] = "at_wall"
    wall: Wall

    def words(self) -> str:
        """As it is said."""
        return f"the {self.wall} wall"


class Step(_Value):
    """Bring one object to one place.

    Attributes:
        colour: of the object; no two objects of a scene share one.
        shape: of the object.
        until: the predicate that holds when the step is done.
    """

    colour: Colour
    shape: Shape
    until: Annotated[InZone | AtWall, Field(discriminator="kind")]

    def words(self) -> str:
        """As it is said: "push the red cube to the green target"."""
        return f"push the {self.colour} {self.shape} to {self.until.words()}"

    def place(self, sighting: Sighting) -> Place:
        """Where the object has to go, from what is seen.

        Raises:
            StateError: the target is not seen.
        """
        if isinstance(self.until, AtWall):
            return Place(None, WALLS.index(self.until.wall))
        zone = sighting.zone(self.until.zone)
        if zone is None:
            raise StateError(f"The {self.until.zone} target is not seen; look again, or ask.")
        return Place(zone.position_m)

    def goal(self) -> PushGoal:
        """The same as a goal of the Push world, which judges it by the simulator's state."""
        zone, wall = -1, -1
        if isinstance(self.until, InZone):
            zone = COLOURS.index(self.until.zone)
        else:
            wall = WALLS.index(self.until.wall)
        return PushGoal(COLOURS.index(self.colour), SHAPES.index(self.shape), zone, wall, 0)
