"""Random episodes for the tests of everything that stores, serves or imports them."""

from dataclasses import fields
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from multimodal.episode import SPLITS, Episode


def make_episode(seed: int = 0, steps: int = 12, size_px: int = 32, **changes: Any) -> Episode:
    """An episode of random content; `changes` replace fields."""
    rng = np.random.default_rng(abs(seed))
    values: dict[str, Any] = {
        "frames": rng.integers(0, 256, (steps + 1, size_px, size_px, 3), dtype=np.uint8),
        "actions": rng.normal(size=(steps, 2)).astype(np.float32),
        "rewards": rng.normal(size=steps).astype(np.float32),
        "terminations": np.zeros(steps, np.bool_),
        "truncations": np.arange(steps) == steps - 1,
        "state": {"pusher_position_m": rng.normal(size=(steps + 1, 2))},
        "goal": rng.normal(size=3).astype(np.float32),
        "success": rng.random(steps + 1) < 0.5,
        "instruction": "push the red cube",
        "captions": ("a red cube", "a green target"),
        "seed": seed,
        "split": "train",
        "extra": {},
    }
    return Episode(**(values | changes))


@st.composite
def episodes(draw: st.DrawFn) -> Episode:
    """Episodes of any legal content: odd sizes, no goal, no state, any text, any numeric dtype."""
    steps = draw(st.integers(1, 4))
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    flags = npst.arrays(np.bool_, steps + 1)
    text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
    names = st.text("abcdefghij_.", min_size=1, max_size=8).filter(lambda name: name.strip("."))
    dtypes = st.sampled_from([np.float64, np.float32, np.int64, np.int8, np.bool_])
    state = st.dictionaries(
        names,
        dtypes.flatmap(
            lambda dtype: npst.arrays(dtype, st.sampled_from([(steps + 1,), (steps + 1, 0, 2)]))
        ),
        max_size=3,
    )
    extra = st.dictionaries(
        names,
        st.one_of(text, st.integers(-5, 5), st.lists(text, max_size=2), npst.arrays("<f4", 7)),
        max_size=3,
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return Episode(
        frames=rng.integers(0, 256, (steps + 1, height, width, 3), dtype=np.uint8),
        actions=draw(npst.arrays(np.float32, (steps, draw(st.integers(1, 3))), elements=finite)),
        rewards=draw(npst.arrays(np.float32, steps, elements=finite)),
        terminations=(np.arange(steps) == steps - 1) & draw(st.booleans()),
        truncations=(np.arange(steps) == steps - 1) & draw(st.booleans()),
        state=draw(state),
        goal=draw(npst.arrays(np.float32, st.integers(0, 3), elements=finite)),
        success=draw(flags),
        instruction=draw(text),
        captions=tuple(draw(st.lists(text, max_size=2))),
        seed=draw(st.integers(0, 2**63 - 1)),
        split=draw(st.sampled_from(SPLITS)),
        extra=draw(extra),
    )


def assert_same(actual: Episode, expected: Episode) -> None:
    """Every field equal to the bit, dtypes included."""
    for field in fields(Episode):
        _assert_same(field.name, getattr(actual, field.name), getattr(expected, field.name))


def _assert_same(name: str, actual: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert set(actual) == set(expected), name
        for key in expected:
            _assert_same(f"{name}/{key}", actual[key], expected[key])
    elif isinstance(expected, np.ndarray):
        assert actual.dtype == expected.dtype, name
        assert actual.shape == expected.shape, name
        assert actual.tobytes() == expected.tobytes(), name
    else:
        assert actual == expected, name
        assert type(actual) is type(expected), name
