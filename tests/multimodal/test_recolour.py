"""Frames with turned hues: shapes stay, grey stays, and no held-out combination comes about."""

import colorsys

import numpy as np
import pytest

from envs.push import PushWorld
from multimodal.language import HELD_OUT_COMBINATIONS, Scene
from multimodal.language.scene import SceneObject
from multimodal.language.vocabulary import COLOURS, SHAPES
from multimodal.recolour import HUES, seen_colour, turned


@pytest.fixture(scope="module")
def seen():
    """Thirty frames of the table and what they show."""
    world = PushWorld(objects=(1, 4))
    found = []
    for seed in range(30):
        frame, info = world.reset(seed=seed)
        found.append((frame, Scene.from_state(info["state"])))
    world.close()
    return found


def degrees_apart(one, other):
    return abs((one - other + 180) % 360 - 180)


def test_the_hues_are_those_of_the_worlds_colours(seen):
    checked = set()
    for frame, scene in seen:
        for thing in scene.objects:
            if thing.shape == "ball":
                continue
            hue, saturation, _ = colorsys.rgb_to_hsv(*(seen_colour(frame, thing) / 255))
            if saturation > 0.5:
                assert degrees_apart(360 * hue, HUES[thing.colour]) < 12
                checked.add(thing.colour)
    assert checked == set(COLOURS)


def test_no_object_comes_near_a_colour_that_its_shape_is_held_out_in(seen):
    rng = np.random.default_rng(0)
    for frame, scene in seen * 3:
        made = turned(frame, scene, rng)
        if made is None:
            continue
        for thing in scene.objects:
            hue, saturation, _ = colorsys.rgb_to_hsv(*(seen_colour(made, thing) / 255))
            for colour in COLOURS:
                if (colour, thing.shape) in HELD_OUT_COMBINATIONS and saturation > 0.35:
                    assert degrees_apart(360 * hue, HUES[colour]) > 18


def test_most_scenes_can_be_turned_and_their_colours_do_change(seen):
    rng = np.random.default_rng(1)
    made = [(frame, turned(frame, scene, rng)) for frame, scene in seen]
    changed = [new for frame, new in made if new is not None and (new != frame).mean() > 0.05]
    assert len(changed) >= 20


def test_grey_stays_grey():
    frame = np.full((64, 64, 3), 120, np.uint8)
    scene = Scene((SceneObject("red", SHAPES[0], 0.0, 0.0),), (), (0.1, 0.1))
    made = turned(frame, scene, np.random.default_rng(0))
    assert np.ptp(made.reshape(-1, 3).astype(int), axis=1).max() <= 1


def test_the_same_generator_gives_the_same_frame(seen):
    frame, scene = seen[0]
    made = [turned(frame, scene, np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(*made)
