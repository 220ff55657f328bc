"""A dataset that lost or changed a part says which, and what to do."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from multimodal.errors import DatasetError
from multimodal.store import EpisodeStore
from tests.multimodal.episodes import make_episode


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    store = EpisodeStore.create(tmp_path, "push-v0")
    store.append(make_episode(seed, steps=4 + seed) for seed in range(3))
    return store


def main_file(store: EpisodeStore) -> Path:
    return store.data_path / "main_data.hdf5"


def test_a_missing_dataset_is_reported_with_those_there_are(store: EpisodeStore) -> None:
    with pytest.raises(DatasetError, match="there are: push-v0"):
        EpisodeStore.open(store.root, "pull-v0")


@pytest.mark.parametrize("part", ["metadata.json", "main_data.hdf5"])
def test_a_missing_part_is_named(store: EpisodeStore, part: str) -> None:
    (store.data_path / part).unlink()
    with pytest.raises(DatasetError, match=f"{part} is missing"):
        EpisodeStore.open(store.root, "push-v0")


def test_a_truncated_data_file_is_refused(store: EpisodeStore) -> None:
    size = main_file(store).stat().st_size
    os.truncate(main_file(store), size // 2)
    with pytest.raises(DatasetError, match="no readable HDF5 file"):
        EpisodeStore.open(store.root, "push-v0")


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"total_episodes": 3}'])
def test_damaged_metadata_is_refused(store: EpisodeStore, content: bytes) -> None:
    (store.data_path / "metadata.json").write_bytes(content)
    with pytest.raises(DatasetError, match="restore it from a copy"):
        EpisodeStore.open(store.root, "push-v0")


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [("worldmodel_format", 99, "format 99"), ("minari_version", "9.9", "does not support")],
)
def test_another_version_is_refused(
    store: EpisodeStore, key: str, value: object, hint: str
) -> None:
    path = store.data_path / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(DatasetError, match=hint):
        EpisodeStore.open(store.root, "push-v0")


def test_a_missing_episode_is_named(store: EpisodeStore) -> None:
    with h5py.File(main_file(store), "a") as file:
        del file["episode_1"]
    with pytest.raises(DatasetError, match="episode 1 of 3"):
        EpisodeStore.open(store.root, "push-v0")


@pytest.mark.parametrize("part", ["actions", "observations", "infos/success", "goal", "text"])
def test_an_episode_without_one_of_its_parts_is_refused(store: EpisodeStore, part: str) -> None:
    with h5py.File(main_file(store), "a") as file:
        del file[f"episode_2/{part}"]
    with pytest.raises(DatasetError, match="lacks a part"):
        EpisodeStore.open(store.root, "push-v0")[2]


def replace(store: EpisodeStore, part: str, value: np.ndarray) -> None:
    with h5py.File(main_file(store), "a") as file:
        del file[part]
        file[part] = value


@pytest.mark.parametrize(
    ("part", "value", "hint"),
    [
        ("actions", np.full((5, 2), np.nan, np.float32), "finite"),
        ("actions", np.zeros((4, 2), np.float32), r"\(4, 2\)"),
        ("rewards", np.zeros(9, np.float32), "rewards has shape"),
        ("actions", np.zeros((5, 2), np.float32), "altered"),
    ],
)
def test_a_part_that_does_not_fit_is_refused(
    store: EpisodeStore, part: str, value: np.ndarray, hint: str
) -> None:
    replace(store, f"episode_1/{part}", value)
    with pytest.raises(DatasetError, match=hint):
        EpisodeStore.open(store.root, "push-v0")[1]


def test_a_flipped_bit_in_a_frame_is_noticed(store: EpisodeStore) -> None:
    frames = store[0].frames
    frames[2, 5, 5, 0] ^= 1
    replace(store, "episode_0/observations", frames)
    with pytest.raises(DatasetError, match="altered after it was written"):
        EpisodeStore.open(store.root, "push-v0")[0]
