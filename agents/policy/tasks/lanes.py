"""Lanes of a compact world, and where they begin: any recorded moment, filtered once before."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.policy.lanes import LatentLanes
from agents.policy.tasks.policy import CompactView
from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes
from worldmodel.compact import MOTION, POSE, CompactDynamics, CompactTokenizer
from worldmodel.dynamics import Memory
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.rollout_state import RolloutState

__all__ = ["CompactBeginnings", "CompactLanes", "filtered"]

_BATCH = 512


@torch.no_grad()
def filtered(
    pipeline: WorldModelPipeline, flat: FlatEpisodes, latents: NDArray[np.float16]
) -> Tensor:
    """Tokens (F, 3, E) of every recorded frame, each episode watched from its beginning.

    Args:
        pipeline: a compact world.
        flat: the recordings.
        latents: trunk tokens of their frames (F, N, C).
    """
    tokenizer: CompactTokenizer = pipeline.tokenizer
    dynamics: CompactDynamics = pipeline.dynamics
    poses = torch.cat(
        [
            tokenizer.pose(torch.from_numpy(np.array(latents[i : i + _BATCH])).float())
            for i in range(0, len(latents), _BATCH)
        ]
    )
    low = torch.from_numpy(pipeline.action_low)
    span = torch.from_numpy(pipeline.action_high) - low
    actions = (torch.from_numpy(np.array(flat.actions)) - low) / span * 2 - 1
    begun = torch.from_numpy(np.array(flat.starts[:-1]))
    lengths = torch.from_numpy(np.diff(flat.starts))
    still = torch.zeros_like(poses)
    tokens = torch.stack([poses, still, still], 1)
    memory = dynamics.start(tokens[begun])
    for step in range(1, int(lengths.max())):
        # Episodes that have ended watch their last frame on; nothing is kept of that.
        rows = begun + torch.minimum(torch.full_like(lengths, step), lengths - 1)
        prediction = dynamics.predict(memory, actions[rows - 1])
        memory = dynamics.advance(memory, tokens[rows], prediction)
        going = lengths > step
        tokens[rows[going]] = memory.latents[going]
    return tokens


class CompactLanes(LatentLanes):
    """Lanes of a compact world; the members' disagreement is its doubt.

    Args:
        pipeline: the world.
        view: reads its latents.
    """

    def __init__(self, pipeline: WorldModelPipeline, view: CompactView) -> None:
        super().__init__(pipeline, view)

    @torch.no_grad()
    def advance(self, state: RolloutState, actions: Tensor) -> RolloutState:
        """One step; in float32, which costs little here and keeps poses fine."""
        return self.pipeline.advance(state, actions)

    @torch.no_grad()
    def doubt(self, state: RolloutState, actions: Tensor) -> Tensor:
        """How far the members are apart about this step (B,)."""
        tokens = state.memory.latents
        dynamics: CompactDynamics = self.pipeline.dynamics
        low = torch.from_numpy(self.pipeline.action_low).to(actions)
        span = torch.from_numpy(self.pipeline.action_high).to(actions) - low
        scaled = (actions - low) / span * 2 - 1
        return dynamics.foresee(tokens[:, POSE], tokens[:, MOTION], scaled).doubt


class CompactBeginnings:
    """Recorded moments; some of them the beginnings of episodes.

    Args:
        tokens: filtered (F, 3, E).
        flat: the recordings.
        context: frames that the world's gains differ for.
        fresh: share that begins where an episode did.
        split: whose episodes are drawn from.

    Raises:
        DatasetError: the split has no episodes.
    """

    def __init__(
        self,
        tokens: Tensor,
        flat: FlatEpisodes,
        context: int,
        fresh: float = 0.3,
        split: str = "train",
    ) -> None:
        episodes = flat.episodes(split)
        if not len(episodes):
            raise DatasetError(f"{flat.path} has no {split} episodes to begin at; record more.")
        self._tokens, self._context, self._fresh = tokens, context, fresh
        self._first = flat.starts[episodes]
        ends = flat.starts[episodes + 1]
        # The last frame may be one after which nothing goes on.
        self._rows = np.concatenate(
            [np.arange(a, max(a + 1, b - 1)) for a, b in zip(self._first, ends, strict=True)]
        )

    def draw(self, count: int, rng: np.random.Generator) -> tuple[RolloutState, Tensor]:
        """`count` rollouts, and no goals (count, 0)."""
        anywhere = self._rows[rng.integers(len(self._rows), size=count)]
        first = self._first[rng.integers(len(self._first), size=count)]
        rows = np.where(rng.random(count) < self._fresh, first, anywhere)
        memory = Memory.bare(self._tokens[torch.from_numpy(rows)])
        memory = memory._replace(filled=torch.full_like(memory.filled, self._context))
        goals = torch.zeros(count, 0)
        zeros = torch.zeros(count, dtype=torch.long)
        return RolloutState(memory, goals, zeros, zeros.clone()), goals
