"""What a folder must hold to be a Minari dataset of ours; how it is begun, filled and checked."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import h5py
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari import MinariDataset
from minari.dataset.minari_storage import MinariStorage

from multimodal.atomic import atomic_write_bytes
from multimodal.episode import Episode
from multimodal.errors import DatasetError

__all__ = [
    "EpisodeRecord",
    "StoreSettings",
    "begin_folder",
    "load_metadata",
    "opened",
    "publish",
    "read_records",
    "require_signature",
]

FORMAT_VERSION = 1
MAIN_FILE = "main_data.hdf5"
METADATA_FILE = "metadata.json"
_MINARI_ID = re.compile(r"[-\w]+-v\d+")
_HINT = "record it with `worldmodel record`"


class StoreSettings(NamedTuple):
    """What a new dataset says about itself.

    Attributes:
        action_space: bounds of the actions; unbounded when None.
        env_spec: the environment that was recorded, so that Minari can make it again.
        description: a sentence about the content.
        compression: None, "lzf" (fast) or "gzip" for the frames.
        metadata: further JSON values for Minari's metadata.
    """

    action_space: gymnasium.spaces.Box | None = None
    env_spec: EnvSpec | None = None
    description: str = "Episodes of frames, actions and rewards."
    compression: str | None = None
    metadata: Mapping[str, Any] = {}


class EpisodeRecord(NamedTuple):
    """What is known of an episode without reading it."""

    steps: int
    seed: int
    split: str
    digest: str


def begin_folder(folder: Path, name: str, first: Episode, settings: StoreSettings) -> None:
    """Let Minari lay out an empty dataset for episodes like `first` in an empty folder."""
    actions = settings.action_space or gymnasium.spaces.Box(
        -np.inf, np.inf, (first.actions.shape[1],), np.float32
    )
    storage = MinariStorage.new(
        folder,
        observation_space=gymnasium.spaces.Box(0, 255, first.frame_shape, np.uint8),
        action_space=actions,
        env_spec=settings.env_spec,
        # Minari's default is JPEG, which would blur what the models are measured by.
        jpeg_encoding=False,
    )
    storage.update_metadata(
        {
            # Minari wants a version; under a name that has one, it finds the dataset by itself.
            "dataset_id": name if _MINARI_ID.fullmatch(name) else f"{name}-v0",
            "minari_version": minari.__version__,
            "description": settings.description,
            "worldmodel_format": FORMAT_VERSION,
            "signature": _signature(first),
            **settings.metadata,
        }
    )


def publish(folder: Path, records: Sequence[EpisodeRecord]) -> None:
    """Say in the metadata how many episodes count; whole or not at all."""
    metadata = MinariStorage.read_raw_metadata(folder)
    metadata |= {
        "total_episodes": len(records),
        "total_steps": sum(record.steps for record in records),
        "dataset_size": round((folder / MAIN_FILE).stat().st_size / 1e6, 1),
    }
    atomic_write_bytes(folder / METADATA_FILE, json.dumps(metadata).encode())


def load_metadata(folder: Path) -> dict[str, Any]:
    """Read the metadata of a dataset of ours.

    Raises:
        DatasetError: a part is missing or damaged, or the version is another.
    """
    for part in (folder / METADATA_FILE, folder / MAIN_FILE):
        if not part.is_file():
            raise DatasetError(f"{part} is missing; restore it from a copy, or {_HINT} again.")
    try:
        MinariDataset(folder)
        metadata: dict[str, Any] = MinariStorage.read_raw_metadata(folder)
    except (ValueError, KeyError, AttributeError, TypeError, AssertionError) as error:
        raise DatasetError(
            f"{folder / METADATA_FILE} is no metadata that Minari {minari.__version__} reads: "
            f"{error}; restore it from a copy, or {_HINT} again."
        ) from error
    version = metadata.get("worldmodel_format")
    if version != FORMAT_VERSION:
        raise DatasetError(
            f"{folder} has episode format {version}, this version reads {FORMAT_VERSION}; "
            f"{_HINT} again, or import it."
        )
    return metadata


def read_records(folder: Path, total: int) -> list[EpisodeRecord]:
    """Read what is known of each episode.

    Raises:
        DatasetError: an episode is missing or lacks its attributes.
    """
    records = []
    with opened(folder / MAIN_FILE) as file:
        for index in range(total):
            try:
                attributes = dict(file[f"episode_{index}"].attrs)
                records.append(
                    EpisodeRecord(
                        int(attributes["total_steps"]),
                        int(attributes["seed"]),
                        str(attributes["split"]),
                        str(attributes["digest"]),
                    )
                )
            except KeyError as error:
                raise DatasetError(
                    f"{folder / MAIN_FILE} lacks a part of episode {index} of {total} ({error}); "
                    f"restore it from a copy, or {_HINT} again."
                ) from error
    return records


def require_signature(metadata: Mapping[str, Any], episode: Episode, name: str) -> None:
    """Check that an episode has the shapes and states of the dataset.

    Raises:
        DatasetError: something differs.
    """
    actual = _signature(episode)
    for key, value in metadata["signature"].items():
        if actual[key] != value:
            raise DatasetError(
                f"{name} has {key} {actual[key]}, the dataset has {value}; "
                "put it into a dataset of its own."
            )


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Raises:
        DatasetError: it is missing, truncated or no HDF5 file.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DatasetError(
            f"{path} is no readable HDF5 file ({error}); restore it from a copy, or {_HINT} again."
        ) from error
    with file:
        yield file


def _signature(episode: Episode) -> dict[str, Any]:
    """What all episodes of a dataset have in common."""
    state = {
        name: [array.dtype.str, list(array.shape[1:])]
        for name, array in sorted(episode.state.items())
    }
    return {
        "frame_shape": list(episode.frame_shape),
        "action_dim": episode.actions.shape[1],
        "goal_dim": len(episode.goal),
        "state": state,
    }
