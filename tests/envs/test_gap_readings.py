"""Named state becomes readings by colour, and what is absent has no position."""

import numpy as np
import pytest

from envs.gap.readings import Readings, has_named_objects, truth_readings
from envs.push import PushWorld
from envs.push_scene import COLOURS
from multimodal.errors import StateError

STATE = {
    "pusher_position_m": np.array([0.1, -0.1]),
    "object_position_m": np.array([[0.01, 0.02], [0.03, 0.04], [np.nan, np.nan]]),
    "object_present": np.array([True, True, False]),
    "object_shape": np.array([3, 1, -1]),
    "object_colour": np.array([4, 0, -1]),
}


def test_objects_are_sorted_by_colour():
    readings = truth_readings(STATE, 6)
    assert readings.present.tolist() == [True, False, False, False, True, False]
    np.testing.assert_allclose(readings.position_m[4], [0.01, 0.02])
    np.testing.assert_allclose(readings.position_m[0], [0.03, 0.04])
    assert readings.shape[4] == 3
    assert readings.shape[0] == 1
    assert readings.copies.sum() == 2


def test_absent_slots_leave_no_nan_behind():
    assert np.isfinite(truth_readings(STATE, 6).position_m).all()


def test_a_state_without_objects_is_refused():
    with pytest.raises(StateError, match="object_colour"):
        truth_readings({name: STATE[name] for name in STATE if name != "object_colour"}, 6)


def test_a_colour_out_of_range_is_refused():
    with pytest.raises(StateError, match=r"0\.\.3"):
        truth_readings(STATE, 4)


def test_the_push_world_names_what_the_readings_need():
    world = PushWorld(objects=2)
    _, info = world.reset(seed=1)
    world.close()
    assert has_named_objects(info["state"])
    assert truth_readings(info["state"], len(COLOURS)).present.sum() == 2


def test_readings_are_indexed_joined_and_repeated_together():
    one = truth_readings({name: value[None, None] for name, value in STATE.items()}, 6)
    repeated = one.repeated(3)
    joined = Readings.concatenate([repeated, repeated])
    assert repeated.present.shape == (1, 3, 6)
    assert joined[:, 0].position_m.shape == (2, 6, 2)
