"""What a frame shows, body by body: from a MuJoCo state (truth) or read off pixels (a probe).

Objects are told apart by colour, which no two objects of a scene share, so every array has one
column per colour rather than per slot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import StateError

__all__ = ["REQUIRED_STATE", "Readings", "has_named_objects", "truth_readings"]

REQUIRED_STATE = (
    "pusher_position_m",
    "object_position_m",
    "object_present",
    "object_shape",
    "object_colour",
)


@dataclass(frozen=True)
class Readings:
    """Bodies per frame; the leading axes `...` are usually (episode, step).

    Attributes:
        pusher_m: float32 (..., 2), position in metres.
        position_m: float32 (..., K, 2), one row per colour; meaningless where not present.
        present: bool (..., K).
        shape: int64 (..., K), index of the shape; meaningless where not present.
        copies: int64 (..., K), how many objects of that colour are seen.
    """

    pusher_m: NDArray[np.float32]
    position_m: NDArray[np.float32]
    present: NDArray[np.bool_]
    shape: NDArray[np.int64]
    copies: NDArray[np.int64]

    def __getitem__(self, index: Any) -> Readings:
        """Index the leading axes of every array at once."""
        return Readings(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @staticmethod
    def concatenate(parts: Sequence[Readings], axis: int = 0) -> Readings:
        """Join along a leading axis."""
        return Readings(
            **{
                f.name: np.concatenate([getattr(part, f.name) for part in parts], axis=axis)
                for f in fields(Readings)
            }
        )

    def repeated(self, steps: int) -> Readings:
        """Repeat along the step axis (the second), as a frozen video would."""
        return Readings(
            **{f.name: np.repeat(getattr(self, f.name), steps, axis=1) for f in fields(self)}
        )


def has_named_objects(state: Mapping[str, Any]) -> bool:
    """Whether a world's named state tells a pusher and coloured objects apart."""
    return all(name in state for name in REQUIRED_STATE)


def truth_readings(state: Mapping[str, NDArray[Any]], colours: int) -> Readings:
    """Turn named state, stored per slot, into readings per colour.

    Args:
        state: arrays named as `REQUIRED_STATE`, (..., slots) or (..., slots, 2).
        colours: K, how many colours there are.

    Raises:
        StateError: when a name is missing or a colour index is out of range.
    """
    missing = [name for name in REQUIRED_STATE if name not in state]
    if missing:
        raise StateError(
            f"The named state lacks {', '.join(missing)}; object metrics need them all. Use a "
            "world with named objects, or measure pixels only."
        )
    present_slot = np.asarray(state["object_present"], dtype=bool)
    colour = np.asarray(state["object_colour"], dtype=np.int64)
    if present_slot.any() and not 0 <= colour[present_slot].min() <= colour[present_slot].max() < (
        colours
    ):
        raise StateError(
            f"object_colour holds an index outside 0..{colours - 1}. Pass the number of colours "
            "of the world the state came from."
        )
    worn_SK = (colour[..., None] == np.arange(colours)) & present_slot[..., None]
    weight = worn_SK.astype(np.float32)
    shape = np.asarray(state["object_shape"], dtype=np.int64)
    # Absent slots hold NaN positions, which a weight of zero would not silence.
    position_m = np.where(
        present_slot[..., None], np.asarray(state["object_position_m"], np.float32), np.float32(0)
    )
    copies = worn_SK.sum(axis=-2)
    return Readings(
        pusher_m=np.asarray(state["pusher_position_m"], dtype=np.float32),
        position_m=np.einsum("...sk,...sd->...kd", weight, position_m),
        present=copies > 0,
        shape=np.einsum("...sk,...s->...k", worn_SK.astype(np.int64), shape),
        copies=copies.astype(np.int64),
    )
