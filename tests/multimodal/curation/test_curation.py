"""Curation: the same scene is found again, another one is not, and false texts go."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from envs.push import PushWorld
from multimodal.curation import curate, duplicate_groups, perceptual_hash
from multimodal.curation.hashing import hash_distances
from multimodal.errors import DatasetError, FrameError
from multimodal.language import COLOURS


@pytest.fixture(scope="module")
def scenes():
    world = PushWorld(objects=(1, 3))
    frames, texts = [], []
    for seed in range(12):
        _, info = world.reset(seed=seed)
        frames.append(world.render())
        state = info["state"]
        shown = np.asarray(state["object_colour"])[np.asarray(state["object_shape"]) >= 0]
        texts.append(" ".join(COLOURS[c] for c in shown))
    world.close()
    return np.stack(frames), texts


class Colours:
    """An image-text model that knows which colours are bright in a picture: real, if simple."""

    def encode_image(self, frames):
        red = torch.as_tensor(frames).float().flatten(1, 2)
        spread = red.std(1)
        places = torch.nn.functional.adaptive_avg_pool2d(
            torch.as_tensor(frames).float().permute(0, 3, 1, 2), 8
        ).flatten(1)
        return torch.nn.functional.normalize(torch.cat([spread, places - places.mean()], 1), dim=-1)

    def encode_text(self, texts):
        wide = 3 + 192
        return torch.stack(
            [torch.nn.functional.one_hot(torch.tensor(len(t) % wide), wide).float() for t in texts]
        )


def compressed(frame):
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="JPEG", quality=90)
    return np.asarray(Image.open(buffer))


def test_a_hash_stays_when_a_picture_is_dimmed_or_compressed(scenes):
    frames, _ = scenes
    plain = perceptual_hash(frames)
    for other in ((frames * 0.95).astype(np.uint8), np.stack([compressed(f) for f in frames])):
        assert hash_distances(plain, perceptual_hash(other)).diagonal().max() <= 40
    apart = hash_distances(plain, plain)[~np.eye(len(frames), dtype=bool)]
    assert apart.min() > 40


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=8))
@settings(max_examples=30, deadline=None)
def test_distances_are_those_of_the_bits(numbers):
    hashes = np.array(numbers, np.uint64)[:, None].repeat(4, 1)
    expected = [[4 * (a ^ b).bit_count() for b in numbers] for a in numbers]
    assert hash_distances(hashes, hashes).tolist() == expected


def test_copies_are_grouped_with_what_they_copy(scenes):
    frames, _ = scenes
    clip = Colours()
    clips = np.concatenate([frames, frames[[3, 5]], frames[[3]]])
    hashes = perceptual_hash(clips)[:, None]
    groups = duplicate_groups(hashes, clip.encode_image(clips).numpy())
    assert groups == [[3, 12, 14], [5, 13]]


def test_clips_that_differ_in_one_frame_are_no_duplicates(scenes):
    frames, _ = scenes
    clips = np.stack([frames[[0, 1]], frames[[0, 2]], frames[[0, 1]]])
    hashes = perceptual_hash(clips.reshape(-1, *frames.shape[1:])).reshape(3, 2, -1)
    same = np.full((3, 4), 0.5, np.float32)
    assert duplicate_groups(hashes, same) == [[0, 2]]


def test_embeddings_tell_apart_what_hashes_do_not(scenes):
    frames, _ = scenes
    hashes = perceptual_hash(frames[[0, 0]])[:, None]
    assert duplicate_groups(hashes, np.eye(2, dtype=np.float32)) == []
    assert duplicate_groups(hashes[:0], np.zeros((0, 2), np.float32)) == []


def test_the_report_says_what_was_dropped_and_why(scenes):
    frames, texts = scenes
    clips = np.concatenate([frames, frames[[4]]])[:, None]
    words = [*texts, texts[4]]
    clip = Colours()
    scores = (clip.encode_image(clips[:, 0]) * clip.encode_text(words)).sum(-1)
    least = float(scores[:12].sort().values[1])
    report = curate(clips, words, clip, least)
    told = report.as_json()
    assert told["kept"] + sum(told["dropped"].values()) == 13
    (copy,) = [each for each in report.dropped if each.reason == "duplicate"]
    assert (copy.item, copy.like, copy.text) == (12, 4, texts[4])
    below = {k for k in range(12) if float(scores[k]) < least}
    assert {each.item for each in report.dropped if each.reason == "text"} == below
    assert len(below) == 1


def test_what_cannot_be_curated_is_refused(scenes):
    frames, texts = scenes
    with pytest.raises(DatasetError):
        curate(frames[:, None], texts[:3], Colours(), 0.0)
    with pytest.raises(FrameError):
        perceptual_hash(frames.astype(float))
