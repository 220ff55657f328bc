"""A dataset as flat memory-mapped arrays: every frame of every episode in one row, by its number.

HDF5 serves whole episodes well and random frames slowly. The flat copy is made once beside the
dataset, whole or not at all, and made anew when the episodes change. Whatever else is computed per
frame (latents) is kept aligned with it by the frame's number.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0
from numpy.typing import NDArray

from multimodal.atomic import disk_full_is_an_error, require_free_space
from multimodal.episode import SPLITS, Episode
from multimodal.errors import DatasetError
from multimodal.store import EpisodeStore

__all__ = ["FlatEpisodes"]

_FLAT_VERSION = 2


@dataclass(frozen=True, eq=False)
class FlatEpisodes:
    """All F frames of E episodes, one after the other; copying or pickling it copies no data.

    Attributes:
        frames: uint8 (F,H,W,3), memory-mapped.
        actions: float32 (F,A); `actions[k]` leads from frame k to k+1, zeros at an episode's end.
        rewards: float32 (F,), of the action beside them.
        terminations: bool (F,), of the action beside them.
        success: bool (F,), per frame.
        state: name → (F,...), per frame.
        goals: float32 (E,G).
        starts: int64 (E+1,); episode e has the frames `starts[e]:starts[e+1]`.
        splits: int8 (E,), the split of each episode as its place in `multimodal.episode.SPLITS`.
        path: the folder the arrays are mapped from; its name changes when an episode does.
    """

    frames: NDArray[np.uint8]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminations: NDArray[np.bool_]
    success: NDArray[np.bool_]
    state: dict[str, NDArray[Any]]
    goals: NDArray[np.float32]
    starts: NDArray[np.int64]
    splits: NDArray[np.int8]
    path: Path

    @classmethod
    def open(cls, store: EpisodeStore) -> "FlatEpisodes":
        """Map the flat copy of a dataset, making it first where it is missing or outdated.

        Raises:
            DatasetError: the dataset is empty, or an episode is damaged.
            DiskFullError: there is no space for the copy.
        """
        if not len(store):
            raise DatasetError(f"{store.path} holds no episodes; record some first.")
        folder = store.path / "flat" / _fingerprint(store)
        if not folder.is_dir():
            folder.parent.mkdir(exist_ok=True)
            with (folder.parent / ".lock").open("w") as lock:
                # Of several training processes one makes the copy while the others wait for it.
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not folder.is_dir():
                    _build(store, folder)
        return cls.load(folder)

    @classmethod
    def load(cls, path: Path) -> "FlatEpisodes":
        """Map the arrays of a folder that `open` made.

        Raises:
            DatasetError: an array is missing or damaged.
        """
        arrays = {file.stem: _mapped(file) for file in path.glob("*.npy")}
        state = {
            name.removeprefix("state."): arrays.pop(name)
            for name in list(arrays)
            if name.startswith("state.")
        }
        try:
            return cls(**arrays, state=state, path=path)
        except TypeError as error:
            raise DatasetError(f"{path} is incomplete; delete it to make it anew.") from error

    @property
    def key(self) -> str:
        """Fingerprint of the content, for what is derived from it."""
        return self.path.name

    def episodes(self, split: str) -> NDArray[np.int64]:
        """Numbers of the episodes of a split, in order.

        Raises:
            DatasetError: there is no such split.
        """
        if split not in SPLITS:
            raise DatasetError(f"split is {split!r}; expected one of {', '.join(SPLITS)}.")
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def __reduce__(self) -> tuple[Callable[[Path], "FlatEpisodes"], tuple[Path]]:
        return FlatEpisodes.load, (self.path,)


def _fingerprint(store: EpisodeStore) -> str:
    content = [_FLAT_VERSION, [[record.digest, record.split] for record in store.records]]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()


def _mapped(path: Path) -> NDArray[Any]:
    try:
        # Without the memmap class, whose every slice costs microseconds; the mapping stays.
        array: NDArray[Any] = np.asarray(np.load(path, allow_pickle=False, mmap_mode="r"))
    except ValueError as error:
        if not path.name.startswith(("goals", "state.")):
            raise DatasetError(f"{path} is damaged; delete its folder to make it anew.") from error
        array = np.load(path, allow_pickle=False)  # one without elements cannot be mapped
    return array


def _build(store: EpisodeStore, folder: Path) -> None:
    """Write the flat copy into a hidden folder and move it into place when it is whole."""
    starts = np.cumsum([0, *(record.steps + 1 for record in store.records)], dtype=np.int64)
    total = int(starts[-1])
    first = _rows(store[0])
    size = total * sum(row[0].nbytes for row in first.values())
    require_free_space(folder.parent, int(1.01 * size))
    hidden = folder.with_name(f".{folder.name}")
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir()
    with disk_full_is_an_error(folder):
        goals = []
        with ExitStack() as stack:
            # Written as streams: in mapped memory a full disk would end the process (SIGBUS).
            files = {
                name: stack.enter_context((hidden / f"{name}.npy").open("wb")) for name in first
            }
            for name, row in first.items():
                header = header_data_from_array_1_0(row) | {"shape": (total, *row.shape[1:])}
                write_array_header_1_0(files[name], header)
            for episode in store:
                for name, row in _rows(episode).items():
                    files[name].write(row.tobytes())
                goals.append(episode.goal)
        splits = [SPLITS.index(record.split) for record in store.records]
        np.save(hidden / "goals.npy", np.stack(goals))
        np.save(hidden / "starts.npy", starts)
        np.save(hidden / "splits.npy", np.array(splits, np.int8))
    for outdated in folder.parent.iterdir():
        if outdated.is_dir() and outdated != hidden:
            shutil.rmtree(outdated, ignore_errors=True)
    hidden.rename(folder)


def _rows(episode: Episode) -> dict[str, NDArray[Any]]:
    """The episode's arrays with one row per frame."""
    rows: dict[str, NDArray[Any]] = {"frames": episode.frames, "success": episode.success}
    for name in ("actions", "rewards", "terminations"):
        steps = getattr(episode, name)
        rows[name] = np.concatenate([steps, np.zeros_like(steps[:1])])
    rows |= {f"state.{name}": array for name, array in episode.state.items()}
    return {name: np.ascontiguousarray(row) for name, row in rows.items()}
