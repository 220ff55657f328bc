"""A dataset seen through the tokeniser: its latents in mapped memory, and random clips of them.

Encoding costs as much as a step of the dynamics, and the tokeniser does not change while the
dynamics learns, so every frame is encoded once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.atomic import atomic_path, require_free_space
from multimodal.clips import WindowSampler
from multimodal.flat import FlatEpisodes
from multimodal.tokenizer import VideoTokenizer

__all__ = ["LatentClips", "cached_latents"]

BATCH = 128


def _fingerprint(tokenizer: VideoTokenizer, flat: FlatEpisodes) -> str:
    digest = hashlib.blake2b(flat.key.encode(), digest_size=8)
    for name, value in sorted(tokenizer.encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


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
    path = folder / f"latents-{_fingerprint(tokenizer, flat)}.npy"
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


class LatentClips(Dataset[dict[str, Tensor]]):
    """Random clips of latents; item i is a function of (seed, i) and the dataset alone.

    Item i holds "latents" float16 (T, N, C), "actions" float32 (T-1, A) scaled to [-1, 1],
    "rewards" float32 (T-1,), "success" bool (T,), "goal" float32 (G,).

    Args:
        flat: the dataset.
        latents: its latents, from `cached_latents`.
        split: "train", "validation" or "test".
        frames: T.
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        low: lower bound of each action (A,).
        high: upper bound of each action (A,).

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
    ) -> None:
        self.flat, self.latents, self.frames, self.samples = flat, latents, frames, samples
        self.windows = WindowSampler(flat.starts, frames, seed, flat.episodes(split))
        self._low, self._span = low, high - low

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.samples:
            raise IndexError(f"clip {index} of {self.samples}")
        window = self.windows.draw(index)
        frames = slice(window.start, window.start + self.frames)
        steps = slice(window.start, window.start + self.frames - 1)
        actions = (self.flat.actions[steps] - self._low) / self._span * 2 - 1
        arrays = {
            "latents": self.latents[frames],
            "actions": actions.astype(np.float32),
            "rewards": self.flat.rewards[steps],
            "success": self.flat.success[frames],
            "goal": self.flat.goals[window.episode],
        }
        return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """Several clips at once."""
        return [self[index] for index in indices]
