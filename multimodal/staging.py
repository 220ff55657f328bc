"""Finished episodes that wait for their dataset, one file each, from any number of processes."""

import re
import shutil
from pathlib import Path

import h5py

from multimodal.atomic import atomic_write_bytes
from multimodal.episode import Episode
from multimodal.episode_hdf5 import PART_GROUP, episode_to_image, read_episode
from multimodal.errors import DatasetError
from multimodal.minari_folder import opened

__all__ = ["StagedEpisodes"]

_PART = re.compile(r"episode_(\d{8})\.hdf5")


class StagedEpisodes:
    """A folder of single episodes, each under its index in the dataset to be.

    Args:
        path: the folder; made when the first episode is put into it.
        compression: None, "lzf" or "gzip" for the frames.
    """

    def __init__(self, path: Path, compression: str | None = None) -> None:
        self.path, self.compression = path, compression

    def put(self, index: int, episode: Episode) -> None:
        """Keep a finished episode: the whole file appears, or nothing.

        Raises:
            DiskFullError: there is no space for it; nothing else is touched.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        image = episode_to_image(episode, self.compression)
        # Not waiting for the disk: an episode that a power cut damages is found by its digest.
        atomic_write_bytes(self._part(index), image, durable=False)

    def indices(self) -> list[int]:
        """Indices of the episodes that wait, in order."""
        if not self.path.is_dir():
            return []
        matches = (_PART.fullmatch(path.name) for path in self.path.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def size_bytes(self, index: int) -> int:
        """Size of an episode's file."""
        return self._part(index).stat().st_size

    def read(self, index: int) -> Episode:
        """Read and check an episode.

        Raises:
            DatasetError: it is damaged; it is removed, so that it can be made anew.
        """
        try:
            with opened(self._part(index)) as part:
                return read_episode(part[PART_GROUP])
        except (DatasetError, KeyError) as error:
            self.drop(index)
            raise DatasetError(
                f"staged episode {index} is damaged and was removed ({error}); "
                "run the same command again to make it anew."
            ) from error

    def copy(self, index: int, file: h5py.File, name: str) -> h5py.Group:
        """Copy an episode as it is into another HDF5 file."""
        with opened(self._part(index)) as part:
            part.copy(PART_GROUP, file, name)
        return file[name]

    def drop(self, index: int) -> None:
        """Remove an episode if it is there."""
        self._part(index).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove everything, the leftovers of killed writers included."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _part(self, index: int) -> Path:
        return self.path / f"episode_{index:08d}.hdf5"
