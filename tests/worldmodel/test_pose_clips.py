"""Recorded poses as the motion learns from them, measured on real episodes of the Push table."""

from pathlib import Path

import numpy as np
import pytest
import torch

from envs.behaviours import make_behaviour
from envs.layer_stage import body_tracks
from envs.push import PushWorld
from multimodal.flat import FlatEpisodes
from multimodal.layers import LayerReader
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.pose_clips import PoseClips, Sprites, Tracks, contact_margins, episode_sprites

EPISODES, STEPS = 8, 40


@pytest.fixture(scope="module")
def flat() -> FlatEpisodes:
    world = PushWorld(objects=3, max_steps=0, terminate_on_success=False)
    frames, actions, states = [], [], []
    for episode in range(EPISODES):
        frame, info = world.reset(seed=episode)
        behaviour = make_behaviour(world, np.random.default_rng(episode))
        for step in range(STEPS + 1):
            frames.append(frame)
            states.append(info["state"])
            action = behaviour.act(world) if step < STEPS else np.zeros(2)
            actions.append(action)
            if step < STEPS:
                frame, _, _, _, info = world.step(action)
    world.close()
    count = len(frames)
    return FlatEpisodes(
        frames=np.stack(frames),
        actions=np.asarray(actions, np.float32),
        rewards=np.zeros(count, np.float32),
        terminations=np.zeros(count, bool),
        success=np.zeros(count, bool),
        state={name: np.stack([state[name] for state in states]) for name in states[0]},
        goals=np.zeros((EPISODES, 0), np.float32),
        starts=np.arange(EPISODES + 1) * (STEPS + 1),
        splits=np.zeros(EPISODES, np.int8),
        path=Path("recorded"),
    )


@pytest.fixture(scope="module")
def tracks(flat: FlatEpisodes) -> Tracks:
    return body_tracks(flat.state, flat.frames.shape[1])


@pytest.fixture(scope="module")
def reader() -> LayerReader:
    reader: LayerReader = WorldModelPipeline.from_pretrained("push").layer_reader
    return reader


@pytest.fixture(scope="module")
def seen(reader: LayerReader, flat: FlatEpisodes, tracks: Tracks) -> Sprites:
    return episode_sprites(reader, flat, tracks)


def test_every_body_of_a_first_frame_is_found(flat, tracks, seen):
    assert np.array_equal(seen.found, tracks.present[flat.starts[:-1]])
    off = seen.cut - tracks.pose[flat.starts[:-1]][..., :2]
    assert np.linalg.norm(off, axis=-1)[seen.found].max() < 1.5


def test_bodies_of_a_table_are_solid_and_stay_within_its_walls(flat, tracks, seen):
    overlap_px, edge_px = contact_margins(flat, tracks, seen)
    assert overlap_px is not None
    assert 0 < overlap_px < 2
    assert -0.5 < edge_px < 6


def test_bodies_that_pass_through_each_other_are_not_taken_for_solid(flat, tracks, seen):
    """The pusher is told to be where the first object is, in the recorded poses alone."""
    pose = tracks.pose.copy()
    pose[:, 0, :2] = pose[:, 1, :2] + (1.0, 0.0)
    haunted = Tracks(pose, tracks.present, tracks.driven)
    cut = seen.cut.copy()
    cut[:, 0] = pose[flat.starts[:-1], 0, :2]
    ghosts = Sprites(seen.sprites, seen.reach, cut, seen.found)
    assert contact_margins(flat, haunted, ghosts)[0] is None


def test_a_clip_holds_what_was_recorded(flat, tracks, seen):
    low, high = np.full(2, -1, np.float32), np.ones(2, np.float32)
    clips = PoseClips(flat, tracks, seen, "train", 5, 0, 64, low, high)
    lively = PoseClips(flat, tracks, seen, "train", 5, 0, 64, low, high, lively=6)
    clip = clips[3]
    assert clip["pose"].shape == (6, 5, 3)
    assert clip["reach"].shape == (5, 32)
    assert all(
        torch.equal(value, again)
        for value, again in zip(clip.values(), clips[3].values(), strict=True)
    )

    def moved(some: PoseClips) -> float:
        ways = [
            item["pose"][-1, 1:, :2] - item["pose"][0, 1:, :2]
            for item in map(some.__getitem__, range(64))
        ]
        return float(torch.stack(ways).norm(dim=-1).sum())

    assert moved(lively) > 1.3 * moved(clips)
