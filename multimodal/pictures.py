"""Recorded frames as CLIP and the vision-language model see them: latents, and what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.language import Scene, shows_held_out
from multimodal.recolour import turned
from multimodal.tokenizer import VideoTokenizer
from multimodal.trunk import BATCH

__all__ = ["NAMELESS", "Pictures", "allowed_rows", "turned_pictures"]

NAMELESS = "nameless"
"""The colour of objects in pictures whose hues were turned; no text may name it."""


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
    """Frames of a dataset and their latents.

    Attributes:
        flat: the dataset.
        latents: float16 (F, N, C), aligned with its frames; where hues were turned, with
            `turned_rows`.
        turned_rows: int64 (F,), the frames of the dataset whose hues were turned; None where the
            pictures are the dataset's own.
    """

    flat: FlatEpisodes
    latents: NDArray[np.float16]
    turned_rows: NDArray[np.int64] | None = None

    @property
    def printed(self) -> bool:
        """Whether the scenes have signs and charts."""
        return "sign_text" in self.flat.state

    def numbers(self, split: str) -> NDArray[np.int64]:
        """Numbers of the pictures that a split may be trained or validated on.

        Turned pictures are of one split from the start.

        Raises:
            DatasetError: there is none.
        """
        if self.turned_rows is None:
            return allowed_rows(self.flat, split)
        return np.arange(len(self.turned_rows))

    def scene(self, number: int) -> Scene:
        """What a picture shows; objects are NAMELESS in colour where hues were turned."""
        if self.turned_rows is None:
            return Scene.from_state(self.flat.state, number)
        scene = Scene.from_state(self.flat.state, int(self.turned_rows[number]))
        objects = tuple(replace(thing, colour=NAMELESS) for thing in scene.objects)
        return replace(scene, objects=objects, zones=())

    def ends(self) -> NDArray[np.int64]:
        """For each picture the number of the last one of its episode, (F,)."""
        if self.turned_rows is not None:
            return np.arange(len(self.turned_rows))
        return np.repeat(self.flat.starts[1:] - 1, np.diff(self.flat.starts))


@torch.no_grad()
def turned_pictures(
    flat: FlatEpisodes, trunk: VideoTokenizer, split: str, count: int, seed: int
) -> Pictures:
    """Frames of a split with their hues turned, through the trunk.

    Args:
        flat: the dataset.
        trunk: encodes them.
        split: whose frames.
        count: most of them; each is of another frame.
        seed: chooses frames and colours.

    Raises:
        DatasetError: no frame could be turned.
    """
    rng = np.random.default_rng([seed, 19])
    rows, frames = [], []
    allowed = allowed_rows(flat, split)
    for row in rng.permutation(allowed)[:count]:
        frame = turned(np.array(flat.frames[row]), Scene.from_state(flat.state, int(row)), rng)
        if frame is not None:
            rows.append(int(row))
            frames.append(frame)
    if not rows:
        raise DatasetError(f"{flat.path} has no frame whose hues can be turned; record more.")
    return Pictures(flat, _encoded(trunk, frames), np.array(rows, np.int64))


def _encoded(trunk: VideoTokenizer, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float16]:
    """Latents float16 (F, N, C) of frames."""
    parts = [
        trunk.encode(torch.from_numpy(np.stack(frames[k : k + BATCH]))[:, None])[:, 0].half().cpu()
        for k in range(0, len(frames), BATCH)
    ]
    encoded: NDArray[np.float16] = torch.cat(parts).numpy()
    return encoded
