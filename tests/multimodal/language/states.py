"""Named states made by hand or by hypothesis, in the layout the Push worlds record."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
SHAPES = ("cube", "ball", "triangle", "cross")
GLYPHS = "ACEFHJKLNPRTUXY23456789"
SLOTS = 4

Placed = tuple[str, str, float, float]


def make_state(
    objects: Sequence[Placed] = (),
    zones: Sequence[tuple[str, float, float]] = (("red", -0.1, -0.1), ("blue", 0.1, 0.1)),
    pusher: tuple[float, float] = (0.15, -0.15),
    text: str | None = None,
    bars: Sequence[tuple[str, int]] = (),
) -> dict[str, np.ndarray]:
    state = {
        "pusher_position_m": np.array(pusher, float),
        "object_position_m": np.zeros((SLOTS, 2)),
        "object_present": np.zeros(SLOTS, bool),
        "object_shape": np.full(SLOTS, -1),
        "object_colour": np.full(SLOTS, -1),
        "zone_position_m": np.array([zone[1:] for zone in zones], float),
        "zone_colour": np.array([COLOURS.index(zone[0]) for zone in zones]),
    }
    for slot, (colour, shape, x, y) in enumerate(objects):
        state["object_position_m"][slot] = x, y
        state["object_present"][slot] = True
        state["object_shape"][slot] = SHAPES.index(shape)
        state["object_colour"][slot] = COLOURS.index(colour)
    if text is not None:
        codes = [GLYPHS.index(character) for character in text]
        state["sign_text"] = np.array(codes + [-1] * (4 - len(codes)))
        missing = 5 - len(bars)
        state["bar_colour"] = np.array([COLOURS.index(bar[0]) for bar in bars] + [-1] * missing)
        state["bar_height"] = np.array([bar[1] for bar in bars] + [0] * missing)
        state["sign_box_m"] = np.array([-0.19, 0.05, 0.0, 0.17]) if text else np.zeros(4)
        state["chart_box_m"] = np.array([-0.19, -0.19, 0.0, -0.05]) if bars else np.zeros(4)
    return state


_METRES = st.floats(-0.16, 0.16)
_POINT = st.tuples(_METRES, _METRES)


@st.composite
def states(draw, least: int = 1) -> dict[str, np.ndarray]:
    """States with 1 to 4 objects anywhere, sometimes with sign and chart."""
    colours = draw(st.permutations(COLOURS))
    count = draw(st.integers(least, SLOTS))
    objects = [(colour, draw(st.sampled_from(SHAPES)), *draw(_POINT)) for colour in colours[:count]]
    zones = [(colour, *draw(_POINT)) for colour in draw(st.permutations(COLOURS))[:2]]
    text, bars = None, []
    if draw(st.booleans()):
        text = "".join(draw(st.lists(st.sampled_from(GLYPHS), min_size=2, max_size=4)))
        heights = draw(st.lists(st.integers(1, 5), min_size=2, max_size=5))
        bars = list(zip(draw(st.permutations(COLOURS)), heights, strict=False))
    return make_state(objects, zones, draw(_POINT), text, bars)


@st.composite
def motions(draw) -> list[dict[str, np.ndarray]]:
    """Two states of one scene: some objects stay, some creep, some jump."""
    before = draw(states())
    after = {name: array.copy() for name, array in before.items()}
    for slot in np.flatnonzero(before["object_present"]):
        reach = draw(st.sampled_from((0.0, 0.002, 0.01, 0.05)))
        way = np.array(draw(st.tuples(st.floats(-1, 1), st.floats(-1, 1))))
        after["object_position_m"][slot] += reach * way
    return [before, after]
