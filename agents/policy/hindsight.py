"""Goal-directed pushes found in recordings of mixed behaviour, by looking at what came of them.

The recording alternates pushing, seeking and random motion and does not say which. But an object
that lies elsewhere some steps later was, whatever was meant, pushed there: that place becomes the
goal of the frames before (hindsight, Andrychowicz et al. 2017). How directly it came about decides
how much the frame counts, so that random motion teaches next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.policy.aims import outcome_of, place_aims
from agents.policy.sight import Sight
from envs.push_scene import COLOURS
from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes

__all__ = ["Pushes", "find_pushes", "pushed_returns"]

_STEP_M = 0.02
_STANDOFF_M = 0.05
_MOVED_M = 0.03
_HORIZONS = (6, 10, 15, 20, 26, 32)
# Below this share of the straight way's speed a push counts as chance, from the second on fully.
_CHANCE, _DIRECT = 0.5, 0.85


@dataclass(frozen=True)
class Pushes:
    """Frames that led somewhere.

    Attributes:
        rows: flat frame numbers int64 (P,).
        aims: what they turned out to do (P, AIM_DIM).
        actions: what was done, float32 (P, A).
        weights: how directly, in (0, 1], float32 (P,).
        horizons: after how many steps, int64 (P,).
    """

    rows: NDArray[np.int64]
    aims: Tensor
    actions: Tensor
    weights: Tensor
    horizons: Tensor

    def __len__(self) -> int:
        return len(self.rows)


def find_pushes(flat: FlatEpisodes, split: str) -> Pushes:
    """All frames of a split that led to an object's moving, each with the place it moved to.

    Args:
        flat: a recorded dataset of a Push world.
        split: "train", "validation" or "test".

    Raises:
        DatasetError: no object was ever moved.
    """
    found = [
        part
        for episode in flat.episodes(split)
        for part in _of_episode(flat, slice(*flat.starts[episode : episode + 2]))
    ]
    if not found:
        raise DatasetError(
            f"In the {split} split of {flat.path} nothing was ever pushed; record more episodes."
        )
    rows, colour, place, weight, horizon = (
        np.concatenate(part) for part in zip(*found, strict=True)
    )
    return Pushes(
        rows,
        place_aims(torch.from_numpy(colour), torch.from_numpy(place)),
        torch.from_numpy(flat.actions[rows]),
        torch.from_numpy(weight),
        torch.from_numpy(horizon),
    )


def _of_episode(flat: FlatEpisodes, span: slice) -> list[tuple[NDArray[np.generic], ...]]:
    """(rows, colour, place, weight, horizon) of an episode, one entry for object and horizon."""
    pusher = flat.state["pusher_position_m"][span]
    objects = flat.state["object_position_m"][span]
    colours = flat.state["object_colour"][span.start]
    found: list[tuple[NDArray[np.generic], ...]] = []
    for slot in range(len(colours)):
        if not 0 <= colours[slot] < len(COLOURS):
            continue
        for horizon in _HORIZONS:
            now, then = objects[:-horizon, slot], objects[horizon:, slot]
            moved = np.linalg.norm(then - now, axis=1)
            # The push has to be under way at the end, or what came after would count as part of it.
            late = np.linalg.norm(then - objects[horizon - 1 : -1, slot], axis=1) > 0.004
            along = (then - now) / np.maximum(moved, 1e-6)[:, None]
            stand = now - along * _STANDOFF_M
            way = np.linalg.norm(pusher[:-horizon] - stand, axis=1) + moved - _STEP_M
            weight = (way / (horizon * _STEP_M) - _CHANCE) / (_DIRECT - _CHANCE)
            rows = np.flatnonzero((moved > _MOVED_M) & late & (weight > 0))
            if len(rows):
                found.append(
                    (
                        span.start + rows,
                        np.full(len(rows), colours[slot], np.int64),
                        then[rows].astype(np.float32),
                        weight[rows].clip(0, 1).astype(np.float32),
                        np.full(len(rows), horizon, np.int64),
                    )
                )
    return found


def pushed_returns(
    seen: Tensor, rows: Tensor, aims: Tensor, horizons: Tensor, discount: float
) -> Tensor:
    """Discounted rewards from a push's frame until its aim was reached, as they were seen.

    Args:
        seen: what is seen on every frame of the dataset (F, S).
        rows: frames (B,).
        aims: (B, AIM_DIM), reached within `horizons` steps.
        horizons: (B,).
        discount: γ.

    Returns:
        (B,).
    """
    longest = int(horizons.max())
    steps = torch.arange(1, longest + 1)
    ahead = (rows[:, None] + torch.minimum(steps, horizons[:, None])).flatten()
    wide = aims.repeat_interleave(longest, 0)
    reward, success = outcome_of(Sight.from_vector(seen[ahead]), wide)
    reward, success = reward.view(-1, longest), success.view(-1, longest)
    before = success.cumsum(1) - success.long()
    runs = (before == 0) & (steps <= horizons[:, None])
    return (reward * runs * discount ** (steps - 1)).sum(1)
