"""What is read off real frames."""

import numpy as np
import pytest
from PIL import Image

from agents.evaluation.decisions import with_text
from agents.seeing import Eyes
from envs.reading import ReadingWorld
from multimodal.errors import FrameError
from multimodal.language import Scene

SEEDS = range(50_000, 50_012)


def names(things):
    return sorted(thing.name for thing in things)


def test_objects_and_targets_are_seen_where_they_are(eyes, world):
    for seed in SEEDS:
        frame, info = world.reset(seed=seed)
        sighting, truth = eyes.look(frame), Scene.from_state(info["state"])
        assert names(sighting.objects) == names(truth.objects)
        assert {zone.colour for zone in sighting.zones} == {zone.colour for zone in truth.zones}
        for zone in truth.zones:
            seen = sighting.zone(zone.colour)
            assert np.hypot(seen.position_m[0] - zone.x_m, seen.position_m[1] - zone.y_m) < 0.01
        for thing in truth.objects:
            x, y = sighting.object(thing.colour).position_m
            assert np.hypot(x - thing.x_m, y - thing.y_m) < 0.01


@pytest.mark.parametrize("size", [(128, 128), (480, 640)])
def test_a_screenshot_of_another_size_shows_the_same(eyes, world, size):
    frame, _ = world.reset(seed=3)
    side = min(size)
    large = np.zeros((*size, 3), np.uint8)
    left = (size[1] - side) // 2
    large[:, left : left + side] = np.asarray(Image.fromarray(frame).resize((side, side), 0))
    assert names(eyes.look(large).objects) == names(eyes.look(frame).objects)


def test_writing_on_the_table_is_not_taken_for_things(eyes, world):
    signs = ReadingWorld(chart=False)
    for seed in SEEDS:
        frame, info = signs.reset(seed=seed)
        assert names(eyes.look(frame).objects) == names(Scene.from_state(info["state"]).objects)
        plain, _ = world.reset(seed=seed)
        assert names(eyes.look(with_text(plain, seed)).objects) == names(eyes.look(plain).objects)
    signs.close()


@pytest.mark.parametrize(
    "frame",
    [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 4), np.uint8), np.zeros((64, 64, 3)),
     np.zeros((8, 8, 3), np.uint8)],
)  # fmt: skip
def test_what_is_no_picture_is_refused(eyes: Eyes, frame):
    with pytest.raises(FrameError):
        eyes.look(frame)


def test_an_empty_table_shows_nothing(eyes):
    bare = np.full((64, 64, 3), (200, 200, 195), np.uint8)
    sighting = eyes.look(bare)
    assert sighting.objects == ()
    assert sighting.zones == ()
