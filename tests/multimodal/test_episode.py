"""An episode is right when it exists: whatever does not fit is refused with a reason."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from multimodal.episode import Episode
from multimodal.errors import ActionError, DatasetError, FrameError
from tests.multimodal.episodes import episodes, make_episode


@pytest.mark.parametrize(
    ("frames", "hint"),
    [
        (np.zeros((13, 32, 32, 3), np.float32), "multiply by 255"),
        (np.zeros((13, 3, 32, 32), np.uint8), "channels-first"),
        (np.zeros((13, 32, 32, 4), np.uint8), "expected a numpy uint8 array"),
        (np.zeros((32, 32, 3), np.uint8), "expected a numpy uint8 array"),
        (np.zeros((13, 0, 32, 3), np.uint8), "no pixels"),
        ([[1]], "list"),
    ],
)
def test_frames_that_are_no_rgb_video_are_refused_with_a_hint(frames: Any, hint: str) -> None:
    with pytest.raises(FrameError, match=hint):
        make_episode(frames=frames)


def test_a_single_frame_is_no_episode() -> None:
    with pytest.raises(FrameError, match="at least two frames"):
        make_episode(steps=0, actions=np.zeros((0, 2), np.float32))


def with_nan() -> np.ndarray:
    actions = np.zeros((12, 2), np.float32)
    actions[7, 1] = np.nan
    return actions


@pytest.mark.parametrize(
    ("actions", "hint"),
    [
        (np.zeros((12, 2), np.float64), "float64"),
        (np.zeros((13, 2), np.float32), r"\(13, 2\)"),
        (np.zeros(12, np.float32), r"\(12,\)"),
        (np.zeros((12, 0), np.float32), r"\(12, 0\)"),
        (with_nan(), r"actions\[7\]"),
    ],
)
def test_actions_that_do_not_fit_the_frames_are_refused(actions: Any, hint: str) -> None:
    with pytest.raises(ActionError, match=hint):
        make_episode(actions=actions)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("rewards", np.zeros(13, np.float32), "rewards has shape"),
        ("rewards", np.full(12, np.inf, np.float32), "not finite"),
        ("success", np.zeros(12, np.bool_), "success has shape"),
        ("terminations", np.zeros(12, np.int64), "terminations is int64"),
        ("truncations", np.arange(12) == 3, "ends at step 3 of 12"),
        ("goal", np.zeros((1, 2), np.float32), "goal has shape"),
        ("state", {"yaw_rad": np.zeros((12, 4))}, "12 rows for 13 frames"),
        ("state", {"a/b": np.zeros(13)}, "slash"),
        ("state", {"name": np.array(["x"] * 13)}, "numeric"),
        ("split", "holdout", "train, validation, test"),
        ("seed", -1, "seed is -1"),
        ("seed", np.int64(3), "expected an int"),
        ("captions", ["a list"], "tuple of str"),
        ("instruction", "a\0b", "NUL"),
        ("extra", {"speech": object()}, "neither an array nor a JSON value"),
        ("extra", {"pair": (1, 2)}, "changes in JSON"),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_name(name: str, value: Any, hint: str) -> None:
    with pytest.raises(DatasetError, match=hint):
        make_episode(**{name: value})


@settings(deadline=None)
@given(episodes())
def test_the_digest_of_equal_content_is_equal(episode: Episode) -> None:
    copy = Episode(**{name: getattr(episode, name) for name in episode.__dataclass_fields__})
    assert copy.digest() == episode.digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"split": "test"},
        {"instruction": "push the red cub"},
        {"captions": ("a red cube",)},
        {"state": {"pusher_velocity_m_s": np.zeros((13, 2))}},
        {"extra": {"qa": [["how many?", "two"]]}},
        {"goal": np.zeros(2, np.float32)},
    ],
)
def test_the_digest_notices_every_change(changes: dict[str, Any]) -> None:
    base = make_episode()
    kept = {name: getattr(base, name) for name in base.__dataclass_fields__}
    assert Episode(**(kept | changes)).digest() != base.digest()


def test_the_digest_notices_one_changed_pixel() -> None:
    base, other = make_episode(), make_episode()
    other.frames[5, 3, 2, 1] ^= 1
    assert other.digest() != base.digest()
