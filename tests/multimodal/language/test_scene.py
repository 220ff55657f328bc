"""Reading a scene out of named state."""

import numpy as np
import pytest

from multimodal.errors import StateError
from multimodal.language import Bar, Scene, SceneObject
from tests.multimodal.language.states import make_state


def test_a_scene_names_what_the_state_holds():
    state = make_state(
        [("red", "cube", -0.1, 0.05), ("purple", "cross", 0.1, 0.0)],
        text="K7X",
        bars=[("green", 2), ("yellow", 5)],
        pusher=(0.01, 0.02),
    )
    scene = Scene.from_state(state)
    assert scene.objects == (
        SceneObject("red", "cube", -0.1, 0.05),
        SceneObject("purple", "cross", 0.1, 0.0),
    )
    assert scene.text == "K7X"
    assert scene.bars == (Bar("green", 2), Bar("yellow", 5))
    assert scene.pusher_m == (0.01, 0.02)
    assert [zone.colour for zone in scene.zones] == ["red", "blue"]


def test_a_row_of_many_frames_is_the_same_as_that_frame_alone():
    frames = [make_state([("red", "ball", x, 0.0)], text="A2") for x in (0.0, 0.1)]
    stacked = {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
    assert [Scene.from_state(stacked, row) for row in (0, 1)] == [
        Scene.from_state(frame) for frame in frames
    ]


def test_a_state_without_objects_is_refused():
    with pytest.raises(StateError, match=r"lacks .*object_shape"):
        Scene.from_state({"pusher_position_m": np.zeros(2)})


def test_many_frames_without_a_row_are_refused():
    stacked = {name: array[None] for name, array in make_state([]).items()}
    with pytest.raises(StateError, match="row=k"):
        Scene.from_state(stacked)


def test_a_colour_that_does_not_exist_is_refused():
    state = make_state([("red", "ball", 0.0, 0.0)])
    state["object_colour"][0] = 17
    with pytest.raises(StateError, match="entry 17"):
        Scene.from_state(state)
