"""Clips are whole, in place, reproducible and fast."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from multimodal.clips import ClipDataset, WindowSampler
from multimodal.errors import DatasetError, DiskFullError
from multimodal.flat import FlatEpisodes
from multimodal.store import EpisodeStore
from tests.multimodal.episodes import make_episode

STEPS = (9, 3, 14, 9, 6)
SPLITS = ("train", "train", "validation", "train", "test")


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    store = EpisodeStore.create(tmp_path, "push-v0")
    pairs = enumerate(zip(STEPS, SPLITS, strict=True))
    store.append(make_episode(i, steps=steps, split=split) for i, (steps, split) in pairs)
    return store


def test_the_flat_copy_is_the_episodes_one_after_the_other(store: EpisodeStore) -> None:
    flat = FlatEpisodes.open(store)
    assert flat.starts.tolist() == [0, 10, 14, 29, 39, 46]
    for index, episode in enumerate(store):
        rows = slice(flat.starts[index], flat.starts[index + 1])
        np.testing.assert_array_equal(flat.frames[rows], episode.frames)
        np.testing.assert_array_equal(flat.success[rows], episode.success)
        np.testing.assert_array_equal(flat.goals[index], episode.goal)
        for name in ("actions", "rewards", "terminations"):
            aligned = getattr(flat, name)[rows]
            np.testing.assert_array_equal(aligned[:-1], getattr(episode, name))
            assert not aligned[-1].any()
        for name, array in episode.state.items():
            np.testing.assert_array_equal(flat.state[name][rows], array)
    assert flat.episodes("train").tolist() == [0, 1, 3]


def test_the_flat_copy_lies_on_the_disk_and_is_not_pickled(store: EpisodeStore) -> None:
    flat = FlatEpisodes.open(store)
    assert isinstance(flat.frames.base, np.memmap)
    assert len(pickle.dumps(flat)) < 1000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(flat)).frames, flat.frames)


def test_the_flat_copy_is_made_once_and_anew_when_episodes_come(store: EpisodeStore) -> None:
    first = FlatEpisodes.open(store)
    made = (first.path / "frames.npy").stat().st_mtime_ns
    assert (FlatEpisodes.open(store).path / "frames.npy").stat().st_mtime_ns == made
    store.append([make_episode(9)])
    second = FlatEpisodes.open(EpisodeStore.open(store.root, store.name))
    assert second.key != first.key
    assert len(second.frames) == 46 + 13
    assert [path.name for path in second.path.parent.glob("[!.]*")] == [second.key]


def test_processes_that_open_at_once_share_one_flat_copy(store: EpisodeStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        copies = list(pool.map(lambda _: FlatEpisodes.open(store), range(4)))
    assert len({copy.path for copy in copies}) == 1
    for copy in copies:
        np.testing.assert_array_equal(copy.frames[:10], store[0].frames)


def test_a_killed_copy_is_begun_again(store: EpisodeStore) -> None:
    path = FlatEpisodes.open(store).path
    path.rename(path.with_name(f".{path.name}"))
    (path.with_name(f".{path.name}") / "frames.npy").write_bytes(b"half")
    np.testing.assert_array_equal(FlatEpisodes.open(store).frames[:10], store[0].frames)


def test_a_full_disk_is_said_before_copying(
    store: EpisodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    usage = shutil.disk_usage(store.path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DiskFullError):
        FlatEpisodes.open(store)


def test_a_flat_copy_that_lost_a_part_says_what_to_do(store: EpisodeStore) -> None:
    flat = FlatEpisodes.open(store)
    (flat.path / "rewards.npy").unlink()
    with pytest.raises(DatasetError, match="delete it to make it anew"):
        FlatEpisodes.open(store)


def test_an_empty_dataset_has_no_clips(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no episodes"):
        FlatEpisodes.open(EpisodeStore.create(tmp_path, "empty-v0"))


def test_a_clip_is_a_stretch_of_one_episode_with_its_actions(store: EpisodeStore) -> None:
    clips = ClipDataset(store, "train", frames=4, seed=3, samples=60)
    episodes = list(store)
    seen = set()
    for index in range(len(clips)):
        clip, window = clips[index], clips.windows.draw(index)
        episode = episodes[window.episode]
        first = window.start - int(clips.flat.starts[window.episode])
        seen.add((window.episode, first))
        for name, length in (("frames", 4), ("actions", 3), ("rewards", 3), ("success", 4)):
            part = getattr(episode, name)[first : first + length]
            assert len(part) == length
            np.testing.assert_array_equal(clip[name].numpy(), part)
        np.testing.assert_array_equal(clip["goal"].numpy(), episode.goal)
    assert {episode for episode, _ in seen} == {0, 1, 3}
    assert (1, 0) in seen


def test_the_dtypes_are_those_training_takes(store: EpisodeStore) -> None:
    clip = ClipDataset(store, "train", frames=3, seed=0, samples=1)[0]
    assert {name: value.dtype for name, value in clip.items()} == {
        "frames": torch.uint8,
        "actions": torch.float32,
        "rewards": torch.float32,
        "success": torch.bool,
        "goal": torch.float32,
    }


def test_a_clip_depends_on_seed_and_index_alone(store: EpisodeStore) -> None:
    one = ClipDataset(store, "train", frames=4, seed=3, samples=50)
    two = ClipDataset(EpisodeStore.open(store.root, store.name), "train", 4, 3, samples=900)
    order = [7, 0, 49, 7, 13]
    for index, clip in zip(order, one.__getitems__(order), strict=True):
        for name, value in two[index].items():
            assert torch.equal(value, clip[name])
    other = ClipDataset(store, "train", frames=4, seed=4, samples=50)
    assert any(not torch.equal(one[i]["frames"], other[i]["frames"]) for i in range(50))


def test_loader_processes_serve_the_same_clips(store: EpisodeStore) -> None:
    clips = ClipDataset(store, "train", frames=4, seed=3, samples=12)
    batches = [list(DataLoader(clips, batch_size=4, num_workers=workers)) for workers in (0, 1)]
    for alone, shared in zip(*batches, strict=True):
        assert torch.equal(alone["frames"], shared["frames"])


def test_a_served_clip_may_be_changed_without_changing_the_data(store: EpisodeStore) -> None:
    clips = ClipDataset(store, "train", frames=4, seed=3)
    clips[0]["frames"].zero_()
    assert clips[0]["frames"].any()


@pytest.mark.parametrize(("split", "frames"), [("train", 11), ("test", 8), ("validation", 16)])
def test_clips_longer_than_every_episode_are_refused(
    store: EpisodeStore, split: str, frames: int
) -> None:
    with pytest.raises(DatasetError, match="ask for shorter clips"):
        ClipDataset(store, split, frames=frames, seed=0)


def test_an_unknown_split_is_refused(store: EpisodeStore) -> None:
    with pytest.raises(DatasetError, match="train, validation, test"):
        ClipDataset(store, "holdout", frames=4, seed=0)


def test_an_index_beyond_the_end_is_refused(store: EpisodeStore) -> None:
    with pytest.raises(IndexError):
        ClipDataset(store, "train", frames=4, seed=0, samples=5)[5]


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    length=st.integers(1, 30),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_windows_stay_inside_chosen_episodes_and_reach_every_place(
    lengths: list[int], length: int, seed: int, data: st.DataObject
) -> None:
    starts = np.cumsum([0, *lengths])
    chosen = np.array(
        data.draw(st.lists(st.sampled_from(range(len(lengths))), min_size=1, unique=True))
    )
    places = {
        start
        for episode in chosen
        for start in range(starts[episode], starts[episode + 1] - length + 1)
    }
    if not places:
        with pytest.raises(DatasetError):
            WindowSampler(starts, length, seed, chosen)
        return
    sampler = WindowSampler(starts, length, seed, chosen)
    assert {sampler[index].start for index in range(len(sampler))} == places
    drawn = [sampler.draw(index).start for index in range(20)]
    assert set(drawn) <= places
    again = WindowSampler(starts, length, seed, chosen)
    assert drawn == [again.draw(index).start for index in range(20)]


def test_every_stretch_is_equally_likely() -> None:
    starts = np.array([0, 3, 103])
    sampler = WindowSampler(starts, 3, 0)
    drawn = np.array([sampler.draw(index).start for index in range(4000)])
    share = (drawn == 0).mean()
    assert share == pytest.approx(1 / 99, abs=0.006)
    assert drawn.std() == pytest.approx(98 / 12**0.5, rel=0.05)
