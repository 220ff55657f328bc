"""What a reasoner is told and asked: messages with pictures, a schema, choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from multimodal.errors import FrameError, TextError

__all__ = ["Message", "Reasoner", "checked_choices", "one_of"]

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, eq=False)
class Message:
    """One turn of a conversation.

    Attributes:
        role: who speaks.
        text: what is said.
        pictures: uint8 (H, W, 3), of any size.

    Raises:
        FrameError: something that is no picture.
    """

    role: Literal["system", "user", "assistant"]
    text: str
    pictures: tuple[NDArray[np.uint8], ...] = ()

    def __post_init__(self) -> None:
        for picture in self.pictures:
            array = np.asarray(picture)
            if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
                raise FrameError(
                    f"A picture must be uint8 (H, W, 3), got {array.dtype} {array.shape}."
                )


class Reasoner(Protocol):
    """Anything that answers messages, always in the form that was asked for."""

    def generate(self, messages: Sequence[Message], schema: type[T]) -> T:
        """A reply that fits a schema.

        Args:
            messages: oldest first.
            schema: a pydantic model; back ends that choose want choices for every text.

        Raises:
            BackendError: a server is down, slow, or did not manage to answer in that form.
        """
        ...

    def score(self, messages: Sequence[Message], choices: Sequence[str]) -> NDArray[Any]:
        """Log-probabilities of replies among these choices, float64 (len(choices),).

        Raises:
            TextError: no choices, or the same twice.
            BackendError: as in `generate`.
        """
        ...


def checked_choices(choices: Sequence[str]) -> tuple[str, ...]:
    """Choices that can be told apart.

    Raises:
        TextError: none, the same twice, or an empty one.
    """
    given = () if isinstance(choices, str) else tuple(choices)
    if not given or len(set(given)) != len(given) or not all(each.strip() for each in given):
        raise TextError(f"choices are {choices!r}; give a list of different texts, one or more.")
    return given


def one_of(choices: Sequence[str]) -> Any:
    """The type of a pydantic field that can hold these texts alone."""
    return Literal.__getitem__(tuple(choices))
