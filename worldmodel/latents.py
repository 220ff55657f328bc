"""A dataset seen through the tokeniser: its latents in mapped memory, and random clips of them.

Encoding costs as much as a step of the dynamics, and the tokeniser does not change while the
dynamics learns, so every frame is encoded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.atomic import atomic_path, require_free_space
from multimodal.clips import Window, WindowSampler
from multimodal.flat import FlatEpisodes
from multimodal.tokenizer import VideoTokenizer
from multimodal.trunk import trunk_fingerprint

__all__ = ["LatentClips", "cached_latents"]

BATCH = 128


@torch.no_grad()
def cached_latents(
    tokenizer: VideoTokenizer, flat: FlatEpisodes, folder: Path
) -> NDArray[np.float16]:
    """Latents of every frame, encoded once and then mapped from a file.

    Args:
        tokenizer: whose encoder is used; another encoder gets another file.
        flat: the dataset.
        folder: where the file is kept.

    Returns:
        float16 (F, N, C), memory-mapped, aligned with `flat.frames`.

    Raises:
        DiskFullError: there is no space for the file.
    """
    path = folder / f"latents-{trunk_fingerprint(tokenizer)}-{flat.key}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        count, height, width = flat.frames.shape[:3]
        tokens, channels = tokenizer.tokens(height, width), tokenizer.config.latent_channels
        require_free_space(folder, 2 * count * tokens * channels)
        with atomic_path(path) as hidden:
            shape = (count, tokens, channels)
            out = np.lib.format.open_memmap(hidden, "w+", np.float16, shape)
            for start in track(range(0, count, BATCH), "encoding frames", transient=True):
                frames = torch.from_numpy(np.array(flat.frames[start : start + BATCH]))
                latents = tokenizer.encode(frames[:, None])[:, 0]
                out[start : start + BATCH] = latents.cpu().numpy().astype(np.float16)
            out.flush()
            del out
    mapped: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def _changes_before(latents: NDArray[np.float16]) -> NDArray[np.int64]:
    """How many tokens changed from one frame to the next, summed up to each frame, (F,)."""
    changed = np.zeros(len(latents), np.int64)
    for start in range(1, len(latents), BATCH):
        stop = min(start + BATCH, len(latents))
        now, before = latents[start:stop], latents[start - 1 : stop - 1]
        changed[start:stop] = (now != before).any(-1).sum(-1)
    return np.cumsum(changed)


class LatentClips(Dataset[dict[str, Tensor]]):
    """Random clips of latents; item i is a function of (seed, i) and the dataset alone.

    Item i holds "latents" float16 (T, N, C), "actions" float32 (T-1, A) scaled to [-1, 1],
    "rewards" float32 (T-1,), "success" bool (T,), "goal" float32 (G,), and "first" float16 (N, C),
    the clip's first frame or, half of the time, a random earlier one of the episode: what a rollout
    that began then would remember of its beginning.

    Args:
        flat: the dataset.
        latents: its latents, from `cached_latents`.
        split: "train", "validation" or "test".
        frames: T.
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        low: lower bound of each action (A,).
        high: upper bound of each action (A,).
        lively: windows drawn for each item; the one whose tokens change most often is served.

    Raises:
        DatasetError: no episode of the split has T frames.
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
        lively: int = 1,
    ) -> None:
        self.flat, self.latents, self.frames, self.samples = flat, latents, frames, samples
        self.windows = WindowSampler(flat.starts, frames, seed, flat.episodes(split))
        self._low, self._span = low, high - low
        self._candidates = lively
        self._changes = _changes_before(latents) if lively > 1 else None

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.samples:
            raise IndexError(f"clip {index} of {self.samples}")
        window = self._window(index)
        begun = int(self.flat.starts[window.episode])
        rng = np.random.default_rng([self.windows.seed, index, 1])
        # The first steps, when everything is still where the first frame shows it, must be common.
        own = rng.random() < 0.5
        first = window.start if own else int(rng.integers(begun, window.start + 1))
        frames = slice(window.start, window.start + self.frames)
        steps = slice(window.start, window.start + self.frames - 1)
        actions = (self.flat.actions[steps] - self._low) / self._span * 2 - 1
        arrays = {
            "latents": self.latents[frames],
            "first": self.latents[first],
            "actions": actions.astype(np.float32),
            "rewards": self.flat.rewards[steps],
            "success": self.flat.success[frames],
            "goal": self.flat.goals[window.episode],
        }
        return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}

    def _window(self, index: int) -> Window:
        if self._changes is None:
            return self.windows.draw(index)
        base = index * self._candidates
        drawn = [self.windows.draw(base + number) for number in range(self._candidates)]
        last = self.frames - 1
        changes = self._changes
        return max(drawn, key=lambda window: changes[window.start + last] - changes[window.start])

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """Several clips at once."""
        return [self[index] for index in indices]
