"""Things of a dataset: read once, and only of frames that may be trained on."""

import numpy as np
import pytest
import torch

from multimodal.layers import LayerReader
from multimodal.pictures import Pictures, allowed_rows
from multimodal.things import THING
from tests.worldmodel.vlm_recordings import record_scenes
from worldmodel import seen_things
from worldmodel.checkpoint import shipped
from worldmodel.evaluation.vlm_cases import open_flat


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    return open_flat(record_scenes(tmp_path_factory.mktemp("things") / "scenes"))


@pytest.fixture(scope="module")
def reader():
    return LayerReader.from_pretrained(shipped("push") / "layer_reader").eval()


def shown(things):
    return np.flatnonzero(things[:, :, -1].any(1))


def test_frames_that_are_held_out_are_not_even_looked_at(flat, reader, tmp_path):
    things = seen_things.cached_things(reader, flat, tmp_path)
    assert things.shape == (len(flat.frames), 6, THING)
    allowed = np.concatenate([allowed_rows(flat, split) for split in ("train", "validation")])
    assert shown(things).tolist() == sorted(allowed.tolist())
    latents = np.zeros((len(flat.frames), 64, 8), np.float16)
    pictures = Pictures(flat, latents, things)
    assert np.array_equal(pictures.numbers("train"), allowed_rows(flat, "train"))
    row = pictures.glances(allowed[:1])
    seen = pictures.layout.parts(torch.from_numpy(row))
    assert np.array_equal(seen.things[0].numpy(), things[allowed[0]])
    frame = np.asarray(flat.frames[allowed[0]])
    assert np.allclose(seen.pixels[0].permute(1, 2, 0).numpy() * 255, frame, atol=0.2)


def test_the_second_time_nothing_is_read(flat, reader, tmp_path, monkeypatch):
    first = seen_things.cached_things(reader, flat, tmp_path)
    monkeypatch.setattr(seen_things, "things_of", None)
    assert np.array_equal(first, seen_things.cached_things(reader, flat, tmp_path))


def test_frames_that_may_now_be_seen_are_read_anew(flat, reader, tmp_path, monkeypatch):
    first = seen_things.cached_things(reader, flat, tmp_path)
    monkeypatch.setattr(seen_things, "MOST", seen_things.MOST + 1)
    assert np.array_equal(first, seen_things.cached_things(reader, flat, tmp_path))
    assert len(list(tmp_path.glob("things-*.npy"))) == 2


def test_of_a_large_dataset_whole_episodes_are_read_until_there_are_enough(
    flat, reader, tmp_path, monkeypatch
):
    monkeypatch.setattr(seen_things, "MOST", 7)
    rows = shown(seen_things.cached_things(reader, flat, tmp_path))
    train = rows[np.isin(rows, allowed_rows(flat, "train"))]
    assert 0 < len(train) <= 7
    starts = set(flat.starts.tolist())
    assert train[0] in starts
    assert train[-1] + 1 in starts
