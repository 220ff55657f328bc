"""Where episodes are kept: a Minari dataset that survives being killed while it is written.

On disk `<root>/<name>/` holds
    data/      the Minari dataset (`metadata.json`, `main_data.hdf5`), only ever replaced whole;
    staging/   finished episodes that are not in it yet.
`commit` moves staged episodes into the dataset in the order of their index, so the result does not
depend on who recorded what, nor on how often the recording was interrupted.
"""

import fcntl
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from minari.dataset.minari_storage import MinariStorage
from numpy.typing import NDArray

from multimodal.atomic import atomic_path, require_free_space
from multimodal.episode import Episode
from multimodal.episode_hdf5 import read_episode
from multimodal.errors import DatasetError
from multimodal.minari_folder import (
    MAIN_FILE,
    EpisodeRecord,
    StoreSettings,
    begin_folder,
    load_metadata,
    opened,
    publish,
    read_records,
    require_signature,
)
from multimodal.staging import StagedEpisodes

__all__ = ["EpisodeRecord", "EpisodeStore", "StoreSettings"]

_NAME = re.compile(r"[-\w]+")
_DEFAULT_SETTINGS = StoreSettings()


class EpisodeStore:
    """The episodes of one dataset, in order: `len`, indexing, iteration, `append`.

    Make one with `create`, `open` or `open_or_create`.

    Attributes:
        path: the dataset's folder.
        staging: finished episodes that `commit` will put into the dataset.
    """

    def __init__(
        self, root: Path | str, name: str, settings: StoreSettings = _DEFAULT_SETTINGS
    ) -> None:
        self.root, self.name, self._settings = Path(root), name, settings
        self.path = self.root / name
        self.data_path = self.path / "data"
        self.staging = StagedEpisodes(self.path / "staging", settings.compression)
        self._main_path = self.data_path / MAIN_FILE
        self._metadata: dict[str, Any] = {}
        self._records: list[EpisodeRecord] = []

    @classmethod
    def create(
        cls, root: Path | str, name: str, settings: StoreSettings = _DEFAULT_SETTINGS
    ) -> "EpisodeStore":
        """Begin a new dataset, to be found by `minari.load_dataset(name)` under `root`.

        Args:
            root: the folder of all datasets (Minari's `MINARI_DATASETS_PATH`).
            name: the dataset's name; give it a version ("push-v0") for Minari to find it by name.
            settings: what it says about itself.

        Raises:
            DatasetError: the name is malformed, or a dataset of that name exists.
        """
        if not _NAME.fullmatch(name):
            raise DatasetError(
                f"{name!r} is no dataset name; expected letters, digits, - and _, as in 'push-v0'."
            )
        store = cls(root, name, settings)
        if store.data_path.exists():
            raise DatasetError(
                f"{store.path} already holds a dataset; open it, or choose another name."
            )
        store.path.mkdir(parents=True, exist_ok=True)
        return store

    @classmethod
    def open(cls, root: Path | str, name: str) -> "EpisodeStore":
        """Open an existing dataset.

        Raises:
            DatasetError: it is missing, incomplete, damaged or of another version.
        """
        store = cls(root, name)
        store._load()
        return store

    @classmethod
    def open_or_create(
        cls, root: Path | str, name: str, settings: StoreSettings = _DEFAULT_SETTINGS
    ) -> "EpisodeStore":
        """Open a dataset to go on with it, or begin it; `settings` count only when it is new.

        Raises:
            DatasetError: the name is malformed, or what is there is damaged.
        """
        if not (Path(root) / name / "data").exists():
            return cls.create(root, name, settings)
        store = cls(root, name, settings)
        store._load()
        return store

    @property
    def metadata(self) -> dict[str, Any]:
        """Minari's metadata with ours; empty before the first commit."""
        return dict(self._metadata)

    @property
    def records(self) -> tuple[EpisodeRecord, ...]:
        """Steps, seed, split and digest of every episode."""
        return tuple(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Episode:
        """Read and check one episode.

        Raises:
            IndexError: there is no such episode.
            DatasetError: it is damaged.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"episode {index} of {len(self)}")
        return next(self.read([index % len(self)]))

    def __iter__(self) -> Iterator[Episode]:
        return self.read(range(len(self)))

    def read(self, indices: Iterable[int]) -> Iterator[Episode]:
        """Read and check episodes one after the other, with the file opened once."""
        with opened(self._main_path) as file:
            for index in indices:
                yield read_episode(file[f"episode_{index}"])

    def read_state(self, name: str) -> Iterator[NDArray[Any]]:
        """Read one named state (T+1,...) of every episode, and nothing else.

        Raises:
            DatasetError: the episodes have no such state.
        """
        known = self._metadata.get("signature", {}).get("state", {})
        if name not in known:
            raise DatasetError(
                f"{self.path} has no state {name!r}; it has: {', '.join(known) or 'none'}."
            )
        with opened(self._main_path) as file:
            for index in range(len(self)):
                yield np.asarray(file[f"episode_{index}/infos/state/{name}"][()])

    def indices(self, split: str) -> list[int]:
        """Indices of the episodes of a split, in order."""
        return [index for index, record in enumerate(self._records) if record.split == split]

    def append(self, episodes: Iterable[Episode]) -> None:
        """Add episodes at the end; either all of them are added or none.

        Raises:
            DatasetError: an episode has other shapes or other state than those before it, another
                process is writing, or an unfinished recording waits here.
            DiskFullError: there is no space for them; the dataset is as it was.
        """
        with self.lock():
            if self.staging.indices():
                raise DatasetError(
                    f"{self.path} holds an unfinished recording; finish it by running the same "
                    "`worldmodel record` again, or choose another dataset."
                )
            try:
                for index, episode in enumerate(episodes, start=len(self)):
                    self.staging.put(index, episode)
                self.commit()
            finally:
                self.staging.clear()

    def commit(self) -> int:
        """Move the staged episodes that continue the dataset without a gap into it.

        Killed at any moment, it leaves the dataset either as before or complete, and the staged
        episodes where they were. Hold the `lock` while several processes might commit.

        Returns:
            How many episodes were added.

        Raises:
            DatasetError: a staged episode is damaged (it is removed, so that recording again makes
                it anew) or has other shapes than the dataset.
            DiskFullError: there is no space; everything is as it was.
        """
        staged, first = set(self.staging.indices()), len(self)
        count = 0
        while first + count in staged:
            count += 1
        if count:
            self._add(range(first, first + count))
        for index in staged:
            if index < len(self):
                self.staging.drop(index)
        if not self.staging.indices():
            self.staging.clear()
        return count

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the right to write; given up by itself when the process dies.

        Raises:
            DatasetError: another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DatasetError(
                    f"another process is writing {self.path}; wait for it or choose another name."
                ) from error
            yield

    def _add(self, indices: Sequence[int]) -> None:
        """Write the next version of the dataset beside the present one and put it in place."""
        existing = self._main_path.stat().st_size if self._metadata else 0
        size = sum(self.staging.size_bytes(index) for index in indices)
        require_free_space(self.path, int(1.01 * (size + existing)))
        # A first version grows in a hidden folder, so that `data` is never half a dataset.
        folder = self.data_path if self._metadata else self.path / ".data"
        if not self._metadata:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            begin_folder(folder, self.name, self.staging.read(indices[0]), self._settings)
        with atomic_path(folder / MAIN_FILE) as temporary:
            if self._metadata:
                shutil.copyfile(self._main_path, temporary)
            records = self._records + self._merge(temporary, indices, folder)
        publish(folder, records)
        if folder != self.data_path:
            folder.rename(self.data_path)
        self._metadata, self._records = MinariStorage.read_raw_metadata(self.data_path), records

    def _merge(self, target: Path, indices: Sequence[int], folder: Path) -> list[EpisodeRecord]:
        """Copy staged episodes into an HDF5 file after checking each of them."""
        metadata = MinariStorage.read_raw_metadata(folder)
        records = []
        with h5py.File(target, "a", track_order=True) as file:
            for index in indices:
                episode = self.staging.read(index)
                require_signature(metadata, episode, f"episode {index}")
                name = f"episode_{index}"
                if name in file:  # a commit was killed between the data and the metadata
                    del file[name]
                group = self.staging.copy(index, file, name)
                group.attrs["id"] = index
                digest = str(group.attrs["digest"])
                records.append(EpisodeRecord(len(episode), episode.seed, episode.split, digest))
        return records

    def _load(self) -> None:
        if not self.path.is_dir():
            found = sorted(path.parent.name for path in self.root.glob("*/data"))
            known = f"; there are: {', '.join(found)}" if found else ""
            raise DatasetError(
                f"there is no dataset {self.name!r} in {self.root}{known}; record it with "
                "`worldmodel record`."
            )
        if not self.data_path.is_dir() and self.staging.indices():
            raise DatasetError(
                f"{self.path} was interrupted before its first episodes were put together; "
                "run the same `worldmodel record` again."
            )
        self._metadata = load_metadata(self.data_path)
        self._records = read_records(self.data_path, self._metadata["total_episodes"])
