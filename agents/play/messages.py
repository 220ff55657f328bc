"""What page and server say to each other, as JSON."""

from __future__ import annotations

import base64
import io
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from agents.play.session import PlaySession, View

__all__ = ["ASKED", "Back", "Begin", "Failed", "Meet", "Move", "Shown", "World", "answered"]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Begin(_Message):
    """Begin at the scene of a seed."""

    kind: Literal["begin"] = "begin"
    seed: int = Field(ge=0, lt=2**31)


class Move(_Message):
    """One step of both worlds."""

    kind: Literal["move"] = "move"
    action: tuple[float, ...] = Field(min_length=1, max_length=64)


class Back(_Message):
    """Go back by some steps."""

    kind: Literal["back"] = "back"
    steps: int = Field(ge=1, le=10_000)


class Meet(_Message):
    """Let the learned world go on from what MuJoCo shows."""

    kind: Literal["meet"] = "meet"


class World(_Message):
    """The server's first word: what is played."""

    kind: Literal["world"] = "world"
    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    steps_per_s: int
    beside: bool
    """Whether MuJoCo runs beside the model."""


class Shown(_Message):
    """The answer to whatever the page asked for: what there is to see now."""

    kind: Literal["shown"] = "shown"
    learned: str
    truth: str | None
    step: int
    instruction: str
    reward: float
    psnr_db: float | None
    success: bool | None
    over: bool

    @classmethod
    def of(cls, view: View) -> Shown:
        """A view with its pictures as PNG in data URLs."""
        return cls(
            learned=_data_url(view.learned),
            truth=None if view.truth is None else _data_url(view.truth),
            step=view.step,
            instruction=view.instruction,
            reward=view.reward,
            psnr_db=view.psnr_db,
            success=view.success,
            over=view.over,
        )


class Failed(_Message):
    """What was asked for could not be done, and why."""

    kind: Literal["failed"] = "failed"
    why: str


ASKED: TypeAdapter[Begin | Move | Back | Meet] = TypeAdapter(
    Annotated[Begin | Move | Back | Meet, Field(discriminator="kind")]
)
"""Reads what the page asks for."""


def answered(session: PlaySession, asked: Begin | Move | Back | Meet) -> Shown:
    """Do what was asked for.

    Raises:
        WorldModelError: it cannot be done.
    """
    if isinstance(asked, Begin):
        return Shown.of(session.begin(asked.seed))
    if isinstance(asked, Move):
        return Shown.of(session.move(np.array(asked.action, np.float32)))
    if isinstance(asked, Back):
        return Shown.of(session.back(asked.steps))
    return Shown.of(session.meet())


def _data_url(frame: NDArray[np.uint8]) -> str:
    written = io.BytesIO()
    Image.fromarray(frame).save(written, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()
