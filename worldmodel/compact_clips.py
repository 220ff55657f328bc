"""Clips for a compact world: trunk tokens with actions, outcomes and state, up to an episode's end.

Episodes may be shorter than a clip (a pole falls within ten steps); a clip that reaches the end of
its episode repeats the last frame and says how many frames are there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes

__all__ = ["STATE", "CompactClips"]

STATE = "observation"
"""The recorded state that the model learns to tell: a Gymnasium environment's own observation."""


class CompactClips(Dataset[dict[str, Tensor]]):
    """Random clips; item i is a function of (seed, i) and the dataset alone.

    Args:
        flat: the dataset.
        latents: float16 (F, N, C), trunk tokens of its frames.
        split: "train", "validation" or "test".
        frames: T, most frames of a clip.
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        low: lower bound of each action (A,).
        high: upper bound of each action (A,).

    Raises:
        DatasetError: the split has no episodes.
    """

    def __init__(
        self,
        flat: FlatEpisodes,
        latents: NDArray[np.float16],
        split: str,
        frames: int,
        seed: int,
        samples: int,
        low: NDArray[np.float32],
        high: NDArray[np.float32],
    ) -> None:
        episodes = flat.episodes(split)
        if not len(episodes):
            raise DatasetError(f"{flat.path} has no {split} episodes; record more of them.")
        self._flat, self._latents = flat, latents
        self._frames, self._seed, self._samples = frames, seed, samples
        self._low, self._span = low, high - low
        begun, ended = flat.starts[episodes], flat.starts[episodes + 1]
        spans = [np.arange(start, stop - 1) for start, stop in zip(begun, ended, strict=True)]
        self._rows = np.concatenate(spans)
        self._last = np.repeat(ended - 1, [len(span) for span in spans])
        self._fresh = np.isin(self._rows, begun)

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self._samples:
            raise IndexError(f"clip {index} of {self._samples}")
        pick = int(np.random.default_rng([self._seed, index]).integers(len(self._rows)))
        first, last = int(self._rows[pick]), int(self._last[pick])
        rows = np.minimum(np.arange(first, first + self._frames), last)
        flat, steps = self._flat, np.minimum(rows[:-1], last - 1)
        actions = (flat.actions[steps] - self._low) / self._span * 2 - 1
        state = flat.state.get(STATE)
        arrays = {
            "latents": self._latents[rows],
            "actions": actions.astype(np.float32),
            "rewards": flat.rewards[steps].astype(np.float32),
            "ends": flat.terminations[steps],
            "state": np.zeros((len(rows), 0), np.float32)
            if state is None
            else state[rows].astype(np.float32),
            "fresh": np.bool_(self._fresh[pick]),
            "length": np.int64(min(self._frames, last - first + 1)),
        }
        return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """Several clips at once."""
        return [self[index] for index in indices]
