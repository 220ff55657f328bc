"""What goes into a store comes out to the bit, and nothing that happens meanwhile loses it."""

import multiprocessing
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import minari
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from multimodal.episode import Episode
from multimodal.errors import DatasetError, DiskFullError
from multimodal.store import EpisodeStore, StoreSettings
from tests.multimodal.episodes import assert_same, episodes, make_episode


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    store = EpisodeStore.create(tmp_path, "push-v0")
    store.append(make_episode(seed, steps=4 + seed) for seed in range(3))
    return store


def main_file(store: EpisodeStore) -> Path:
    return store.data_path / "main_data.hdf5"


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Let the system refuse to write beyond a size, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(episode=episodes())
def test_an_episode_comes_back_to_the_bit(tmp_path: Path, episode: Episode) -> None:
    shutil.rmtree(tmp_path / "any-v0", ignore_errors=True)
    EpisodeStore.create(tmp_path, "any-v0").append([episode])
    assert_same(EpisodeStore.open(tmp_path, "any-v0")[0], episode)


@pytest.mark.parametrize("compression", ["lzf", "gzip"])
def test_compression_changes_the_size_and_not_the_content(tmp_path: Path, compression: str) -> None:
    frames = np.zeros((40, 64, 64, 3), np.uint8)
    episode = make_episode(steps=39, frames=frames)
    store = EpisodeStore.create(tmp_path, "small-v0", StoreSettings(compression=compression))
    store.append([episode])
    assert_same(store[0], episode)
    assert main_file(store).stat().st_size < frames.nbytes / 4


def test_minari_loads_the_dataset_by_its_name(
    store: EpisodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(store.root))
    dataset = minari.load_dataset("push-v0")
    assert (dataset.total_episodes, dataset.total_steps) == (3, 4 + 5 + 6)
    assert dataset.spec.dataset_id == "push-v0"
    assert list(minari.list_local_datasets()) == ["push-v0"]
    for loaded, expected in zip(dataset, store, strict=True):
        np.testing.assert_array_equal(loaded.observations, expected.frames)
        np.testing.assert_array_equal(loaded.actions, expected.actions)
        np.testing.assert_array_equal(loaded.rewards, expected.rewards)
        np.testing.assert_array_equal(loaded.truncations, expected.truncations)
        np.testing.assert_array_equal(loaded.infos["success"], expected.success)
        np.testing.assert_array_equal(
            loaded.infos["state"]["pusher_position_m"], expected.state["pusher_position_m"]
        )
    metadata = next(iter(dataset.storage.get_episode_metadata([1])))
    assert (metadata["seed"], metadata["instruction"]) == (1, "push the red cube")


def test_appending_keeps_what_was_there_and_its_order(store: EpisodeStore) -> None:
    store.append([make_episode(9)])
    reopened = EpisodeStore.open(store.root, "push-v0")
    assert [episode.seed for episode in reopened] == [0, 1, 2, 9]
    assert_same(reopened[1], make_episode(1, steps=5))
    assert_same(reopened[-1], make_episode(9))


def test_splits_are_found_without_reading_episodes(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path, "push-v0")
    store.append(make_episode(i, split=s) for i, s in enumerate(["train", "test", "train"]))
    assert (store.indices("train"), store.indices("test")) == ([0, 2], [1])
    assert store.indices("validation") == []


def test_one_state_is_read_without_the_frames(store: EpisodeStore) -> None:
    rows = list(store.read_state("pusher_position_m"))
    assert [len(row) for row in rows] == [5, 6, 7]
    with pytest.raises(DatasetError, match="it has: pusher_position_m"):
        list(store.read_state("yaw_rad"))


@pytest.mark.parametrize(
    "other",
    [
        make_episode(5, size_px=40),
        make_episode(5, actions=np.zeros((12, 3), np.float32)),
        make_episode(5, goal=np.zeros(0, np.float32)),
        make_episode(5, state={}),
    ],
)
def test_episodes_of_other_shapes_are_refused_and_nothing_is_added(
    store: EpisodeStore, other: Episode
) -> None:
    with pytest.raises(DatasetError, match="the dataset has"):
        store.append([make_episode(4), other])
    assert len(EpisodeStore.open(store.root, "push-v0")) == 3


def test_the_order_of_staging_does_not_matter(tmp_path: Path) -> None:
    digests = []
    for name, order in (("a-v0", [0, 1, 2, 3]), ("b-v0", [3, 1, 0, 2])):
        store = EpisodeStore.create(tmp_path, name)
        for index in order:
            store.staging.put(index, make_episode(index))
        assert store.commit() == 4
        digests.append([record.digest for record in EpisodeStore.open(tmp_path, name).records])
    assert digests[0] == digests[1]


def test_a_gap_holds_back_what_comes_after_it(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path, "gap-v0")
    for index in (0, 1, 3):
        store.staging.put(index, make_episode(index))
    assert (store.commit(), store.staging.indices()) == (2, [3])
    store.staging.put(2, make_episode(2))
    assert (store.commit(), store.staging.indices()) == (2, [])
    assert [episode.seed for episode in store] == [0, 1, 2, 3]


def test_a_commit_killed_between_data_and_metadata_is_made_up_for(store: EpisodeStore) -> None:
    metadata = (store.data_path / "metadata.json").read_bytes()
    store.staging.put(3, make_episode(3))
    part = next(store.staging.path.iterdir())
    staged = part.read_bytes()
    store.commit()
    (store.data_path / "metadata.json").write_bytes(metadata)
    store.staging.path.mkdir()
    part.write_bytes(staged)

    again = EpisodeStore.open(store.root, "push-v0")
    assert len(again) == 3
    assert again.commit() == 1
    assert_same(EpisodeStore.open(store.root, "push-v0")[3], make_episode(3))


COMMIT_FOR_EVER = """
import sys
from multimodal.store import EpisodeStore
from tests.multimodal.episodes import make_episode
store = EpisodeStore.open_or_create(sys.argv[1], "kill-v0")
print("ready", flush=True)
while True:
    store.staging.put(len(store), make_episode(len(store), size_px=64))
    store.commit()
"""


@pytest.mark.parametrize("delay_s", [0.05, 0.17, 0.31])
def test_a_writer_killed_at_any_moment_leaves_a_whole_dataset(
    tmp_path: Path, delay_s: float
) -> None:
    for round_ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", COMMIT_FOR_EVER, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            while round_ == 0 and not (tmp_path / "kill-v0" / "data").exists():
                time.sleep(0.01)
            time.sleep(delay_s)
            writer.kill()
        store = EpisodeStore.open(tmp_path, "kill-v0")
        assert [episode.seed for episode in store] == list(range(len(store)))


def test_only_one_process_writes_at_a_time(store: EpisodeStore) -> None:
    with store.lock(), pytest.raises(DatasetError, match="another process is writing"):
        EpisodeStore.open(store.root, "push-v0").append([make_episode(4)])


def _put(store: EpisodeStore, index: int) -> None:
    store.staging.put(index, make_episode(index))


def test_several_processes_stage_at_once(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path, "many-v0")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_put, args=(store, index)) for index in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert store.commit() == 6
    assert [episode.seed for episode in store] == list(range(6))


def test_a_full_disk_while_staging_is_said_and_loses_nothing(store: EpisodeStore) -> None:
    with file_size_limit(20_000), pytest.raises(DiskFullError, match="Free some space"):
        store.staging.put(3, make_episode(3))
    assert store.staging.indices() == []
    assert list(store.staging.path.iterdir()) == []
    assert len(EpisodeStore.open(store.root, "push-v0")) == 3


def test_a_full_disk_while_committing_keeps_dataset_and_staged_episodes(
    store: EpisodeStore,
) -> None:
    for index in range(3, 6):
        store.staging.put(index, make_episode(index))
    limit = main_file(store).stat().st_size + 10_000
    with file_size_limit(limit), pytest.raises(DiskFullError, match="intact"):
        store.commit()
    again = EpisodeStore.open(store.root, "push-v0")
    assert (len(again), again.staging.indices()) == (3, [3, 4, 5])
    assert again.commit() == 3
    assert_same(again[5], make_episode(5))


def test_a_commit_that_cannot_fit_is_refused_before_it_starts(
    store: EpisodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.staging.put(3, make_episode(3))
    usage = shutil.disk_usage(store.path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DiskFullError, match="nothing was changed"):
        store.commit()


def test_a_damaged_staged_episode_is_removed_to_be_made_anew(store: EpisodeStore) -> None:
    store.staging.put(3, make_episode(3))
    part = next(store.staging.path.iterdir())
    part.write_bytes(part.read_bytes()[:5000])
    with pytest.raises(DatasetError, match="run the same command again"):
        store.commit()
    assert store.staging.indices() == []


@pytest.mark.parametrize("name", ["", "a b", "../x", "push/v0"])
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="no dataset name"):
        EpisodeStore.create(tmp_path, name)


def test_creating_over_a_dataset_is_refused(store: EpisodeStore) -> None:
    with pytest.raises(DatasetError, match="already holds a dataset"):
        EpisodeStore.create(store.root, "push-v0")
