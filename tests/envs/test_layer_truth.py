"""True layers of MuJoCo frames, and recorded poses against where the camera sees bodies."""

import numpy as np
import pytest

from envs.behaviours import make_behaviour
from envs.layer_stage import body_tracks
from envs.layer_truth import MovingBodies
from envs.push import PushWorld


@pytest.fixture(scope="module")
def pushed():
    """A Push world after some steps of pushing, its bodies and its frame."""
    world = PushWorld(objects=3, max_steps=0, terminate_on_success=False)
    frame, info = world.reset(seed=7)
    behaviour = make_behaviour(world, np.random.default_rng(7))
    for _ in range(15):
        frame, _, _, _, info = world.step(behaviour.act(world))
    yield world, MovingBodies(world), frame, info
    world.close()


def test_only_the_pusher_is_driven(pushed):
    _, bodies, _, _ = pushed
    assert bodies.driven.tolist() == [True, False, False, False, False]


def test_the_plate_is_the_frame_where_nothing_movable_is(pushed):
    _, bodies, frame, _ = pushed
    truth = bodies.truth(frame)
    covered = truth.owner.reshape(64, 2, 64, 2).any((1, 3))
    assert 0.01 < covered.mean() < 0.2
    assert (truth.plate[~covered] == frame[~covered]).all()
    assert (truth.plate[covered] != frame[covered]).any(-1).mean() > 0.8


def test_taking_the_plate_leaves_the_world_as_it_was(pushed):
    world, bodies, frame, _ = pushed
    bodies.truth(frame)
    assert (world.render() == frame).all()


def test_a_body_lies_where_its_pixels_are(pushed):
    _, bodies, frame, _ = pushed
    truth = bodies.truth(frame)
    for number in range(4):
        rows, columns = np.nonzero(truth.owner == number + 1)
        middle = np.array([columns.mean(), rows.mean()]) / 2 + 0.25
        assert np.abs(middle - truth.centre_px[number]).max() < 1.0


def test_recorded_state_says_where_the_camera_sees_bodies(pushed):
    _, bodies, _, info = pushed
    state = {name: np.asarray(value)[None] for name, value in info["state"].items()}
    tracks = body_tracks(state, 64)
    here = tracks.present[0]
    assert here.sum() == 4
    seen = bodies.centres_px()[here]
    assert np.abs(tracks.pose[0, here, :2] - seen).max() < 0.15
