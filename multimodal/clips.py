"""Random clips for training: item i is a function of (seed, i) alone, served from mapped memory."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.store import EpisodeStore

__all__ = ["ClipDataset", "Window", "WindowSampler"]


class Window(NamedTuple):
    """A stretch of one episode: its first flat frame and the episode's number."""

    start: int
    episode: int


class WindowSampler:
    """Draws stretches of `length` frames that never cross from one episode into another.

    Every possible stretch of the chosen episodes is equally likely.

    Args:
        starts: int64 (E+1,), the first flat frame of each episode and the number of all frames.
        length: frames in a stretch.
        seed: what the draws depend on besides the index.
        episodes: numbers of the episodes to draw from; all of them when None.

    Raises:
        DatasetError: no chosen episode has `length` frames.
    """

    def __init__(
        self,
        starts: NDArray[np.int64],
        length: int,
        seed: int,
        episodes: NDArray[np.int64] | None = None,
    ) -> None:
        self.episodes = np.arange(len(starts) - 1) if episodes is None else np.asarray(episodes)
        self.starts, self.length, self.seed = starts, length, seed
        frames = starts[self.episodes + 1] - starts[self.episodes]
        self._ends = np.cumsum(np.maximum(frames - length + 1, 0))
        if length < 1 or not len(self._ends) or not self._ends[-1]:
            longest = int(frames.max()) if len(frames) else 0
            raise DatasetError(
                f"no episode gives a clip of {length} frames: {len(frames)} episodes, the longest "
                f"has {longest} frames; record longer ones or ask for shorter clips."
            )

    def __len__(self) -> int:
        """How many different stretches there are."""
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Window:
        """The stretch number `index`, in the order of the episodes."""
        row = int(np.searchsorted(self._ends, index, side="right"))
        offset = index - int(self._ends[row - 1]) if row else index
        episode = int(self.episodes[row])
        return Window(int(self.starts[episode]) + offset, episode)

    def draw(self, index: int) -> Window:
        """The stretch that (seed, index) stands for."""
        return self[int(np.random.default_rng([self.seed, index]).integers(len(self)))]


class ClipDataset(Dataset[dict[str, Tensor]]):
    """Random clips of a split as a map-style PyTorch dataset.

    Item i holds "frames" uint8 (T,H,W,3), "actions" float32 (T-1,A), "rewards" float32 (T-1,),
    "success" bool (T,) and "goal" float32 (G,). It depends on (seed, i) and the dataset alone:
    not on the order of access, nor on the number of loader processes.

    Args:
        store: the dataset, or its flat copy.
        split: "train", "validation" or "test".
        frames: T, the frames in a clip.
        seed: what the draws depend on besides i.
        samples: the length of this dataset; one per possible clip when None.

    Raises:
        DatasetError: the split has no episode of T frames.
    """

    def __init__(
        self,
        store: EpisodeStore | FlatEpisodes,
        split: str,
        frames: int,
        seed: int,
        samples: int | None = None,
    ) -> None:
        self.flat = FlatEpisodes.open(store) if isinstance(store, EpisodeStore) else store
        self.frames = frames
        self.windows = WindowSampler(self.flat.starts, frames, seed, self.flat.episodes(split))
        self.samples = len(self.windows) if samples is None else samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self._clip(self._window(index))

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """Several clips at once, read in the order they lie on the disk."""
        windows = [self._window(index) for index in indices]
        clips: list[dict[str, Tensor]] = [{} for _ in windows]
        for position in sorted(range(len(windows)), key=windows.__getitem__):
            clips[position] = self._clip(windows[position])
        return clips

    def _window(self, index: int) -> Window:
        if not 0 <= index < self.samples:
            raise IndexError(f"clip {index} of {self.samples}")
        return self.windows.draw(index)

    def _clip(self, window: Window) -> dict[str, Tensor]:
        flat, start = self.flat, window.start
        span, steps = slice(start, start + self.frames), slice(start, start + self.frames - 1)
        arrays = {
            "frames": flat.frames[span],
            "actions": flat.actions[steps],
            "rewards": flat.rewards[steps],
            "success": flat.success[span],
            "goal": flat.goals[window.episode],
        }
        return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
