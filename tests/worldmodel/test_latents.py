"""Clips of latents: the frame a rollout remembers, and clips in which something happens."""

from pathlib import Path

import numpy as np
import pytest

from multimodal.flat import FlatEpisodes
from multimodal.store import EpisodeStore
from tests.multimodal.episodes import make_episode
from worldmodel.latents import LatentClips

LOW, HIGH = np.full(2, -1, np.float32), np.full(2, 1, np.float32)


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("latents")
    store = EpisodeStore.create(folder, "data")
    store.append(make_episode(seed=seed, steps=20) for seed in range(6))
    return FlatEpisodes.open(store)


def numbered(flat: FlatEpisodes) -> np.ndarray:
    """Latents that hold the number of their frame, in one token of four."""
    latents = np.zeros((len(flat.frames), 4, 2), np.float16)
    latents[:, 0] = np.arange(len(latents))[:, None]
    return latents


def clips(flat, latents, **options):
    return LatentClips(flat, latents, "train", 5, 0, 400, LOW, HIGH, **options)


def test_the_remembered_frame_is_of_the_same_episode_and_never_later(flat):
    ages = []
    for item in clips(flat, numbered(flat)):
        begin, first = int(item["latents"][0, 0, 0]), int(item["first"][0, 0])
        episode = np.searchsorted(flat.starts, begin, side="right") - 1
        assert flat.starts[episode] <= first <= begin
        ages.append(begin - first)
    assert 0.45 < np.mean(np.array(ages) == 0) < 0.75
    assert max(ages) > 5


def test_the_clip_in_which_most_changes_is_served(flat):
    latents = np.zeros((len(flat.frames), 4, 2), np.float16)
    lively = np.arange(len(latents)) % 21 >= 12
    latents[lively] = np.arange(len(latents))[lively, None, None]

    def mean_changes(candidates: int) -> float:
        served = clips(flat, latents, lively=candidates)
        changes = [(item["latents"][1:] != item["latents"][:-1]).any(-1).sum() for item in served]
        return float(np.mean(changes))

    assert mean_changes(4) > 1.3 * mean_changes(1)


def test_a_clip_is_a_function_of_its_number_alone(flat):
    one, other = (clips(flat, numbered(flat), lively=3) for _ in range(2))
    for name, value in one[17].items():
        assert np.array_equal(value, other[17][name])
