"""Recorded frames as CLIP and the vision-language model see them, and what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.glance import GlanceLayout
from multimodal.language import Scene, shows_held_out

__all__ = ["Pictures", "allowed_rows"]


def allowed_rows(flat: FlatEpisodes, split: str) -> NDArray[np.int64]:
    """Numbers of the frames of a split that show no held-out combination.

    Raises:
        DatasetError: there is none.
    """
    episodes = flat.episodes(split)
    rows = np.concatenate(
        [np.arange(flat.starts[e], flat.starts[e + 1]) for e in episodes] or [np.zeros(0, int)]
    )
    rows = rows[~shows_held_out(flat.state)[rows]]
    if not len(rows):
        raise DatasetError(
            f"{flat.path} has no frame of the split {split!r} without a held-out combination; "
            "record more episodes."
        )
    return rows


@dataclass(frozen=True, eq=False)
class Pictures:
    """Frames of a dataset, looked at once.

    Attributes:
        flat: the dataset.
        latents: float16 (F, N, C), aligned with its frames.
        things: float16 (F, K, THING), zeros for frames that were not read; None
            without a reader of layers.
    """

    flat: FlatEpisodes
    latents: NDArray[np.float16]
    things: NDArray[np.float16] | None = None

    @property
    def layout(self) -> GlanceLayout:
        """Of the rows that `glances` gives."""
        slots = 0 if self.things is None else self.things.shape[1]
        _, tokens, channels = self.latents.shape
        return GlanceLayout(tokens, channels, slots, self.flat.frames.shape[1])

    def glances(self, rows: Sequence[int]) -> NDArray[np.float16]:
        """Some frames as models read them, (len(rows), P); see `GlanceLayout`."""
        count, chosen = len(rows), list(rows)
        pixels = np.asarray(self.flat.frames[chosen]).transpose(0, 3, 1, 2) / np.float32(255)
        parts = [self.latents[chosen].reshape(count, -1)]
        if self.things is not None:
            parts.append(self.things[chosen].reshape(count, -1))
        parts.append(pixels.reshape(count, -1).astype(np.float16))
        return np.concatenate(parts, 1)

    @property
    def printed(self) -> bool:
        """Whether the scenes have signs and charts."""
        return "sign_text" in self.flat.state

    def numbers(self, split: str) -> NDArray[np.int64]:
        """Numbers of the frames that a split may be trained or validated on, and that were read.

        Raises:
            DatasetError: there is none.
        """
        rows = allowed_rows(self.flat, split)
        if self.things is None:
            return rows
        # The last number of a thing is whether it is present; a frame shows the pusher at least.
        return rows[np.asarray(self.things[rows, :, -1]).any(1)]

    def scene(self, number: int) -> Scene:
        """What a frame shows."""
        return Scene.from_state(self.flat.state, number)

    def ends(self) -> NDArray[np.int64]:
        """For each frame the number of the last one of its episode, (F,)."""
        return np.repeat(self.flat.starts[1:] - 1, np.diff(self.flat.starts))
