"""Where imagined rollouts begin: recorded frames, each with a goal not yet reached there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.policy.aims import outcome_of
from agents.policy.sight import Sight
from agents.policy.sight_objective import true_sight
from envs.push_goals import GOAL_DIM
from envs.push_scene import COLOURS
from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.language.vocabulary import WALLS

__all__ = ["PushStarts", "Start", "open_goals"]

_K = len(COLOURS)


class Start(NamedTuple):
    """B beginnings.

    Attributes:
        frames: uint8 (B, 1, H, W, 3).
        goals: (B, G).
    """

    frames: Tensor
    goals: Tensor


class PushStarts:
    """Recorded frames of a Push world with goals drawn among all that the scene allows.

    Args:
        flat: the recorded dataset.
        split: whose episodes are drawn from.

    Raises:
        DatasetError: the split has no episodes.
    """

    def __init__(self, flat: FlatEpisodes, split: str = "train") -> None:
        episodes = flat.episodes(split)
        if not len(episodes):
            raise DatasetError(f"{flat.path} has no episodes of the {split} split to start from.")
        self._flat = flat
        self._rows = np.concatenate(
            [np.arange(flat.starts[e], flat.starts[e + 1]) for e in episodes]
        )

    def draw(self, count: int, rng: np.random.Generator) -> Start:
        """`count` starts, none of which is solved already.

        Args:
            count: B.
            rng: source of randomness.
        """
        frames: list[Tensor] = []
        goals: list[Tensor] = []
        while sum(map(len, goals)) < count:
            rows = self._rows[rng.integers(len(self._rows), size=count)]
            sight = true_sight({name: array[rows] for name, array in self._flat.state.items()})
            drawn, open_ = open_goals(sight, rng)
            frames.append(torch.from_numpy(self._flat.frames[rows[open_.numpy()]]))
            goals.append(drawn[open_])
        return Start(torch.cat(frames)[:count, None], torch.cat(goals)[:count])


def open_goals(sight: Sight, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A goal for each table, and whether anything is left to do for it.

    Args:
        sight: B tables.
        rng: source of randomness.

    Returns:
        Goal vectors (B, GOAL_DIM), each of a present object and a zone or a wall, and bool (B,).
    """
    batch = len(sight)
    draw = torch.from_numpy(rng.random((batch, 2 * _K + len(WALLS)))).to(sight.pusher_m)
    here = (sight.object_present > 0.5).float()
    places = torch.cat([(sight.zone_present > 0.5).float(), draw.new_ones(batch, len(WALLS))], 1)
    goals = draw.new_zeros(batch, GOAL_DIM)
    lanes = torch.arange(batch, device=draw.device)
    goals[lanes, (draw[:, :_K] * here).argmax(1)] = 1
    # Zones and walls are equally common, as in the world itself.
    goals[lanes, _K + (draw[:, _K:] * places).argmax(1)] = 1
    done = outcome_of(sight, torch.cat([goals, goals.new_zeros(batch, 2)], 1))[1]
    return goals, ~done & (here.sum(1) > 0)
