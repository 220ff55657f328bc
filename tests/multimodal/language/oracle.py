"""Answers a question by reading its text and looking into the raw state arrays.

It shares nothing with the code that asks: it knows neither scenes nor templates, only English as
far as this world speaks it. Where a question would be ambiguous it fails.
"""

import re
from collections.abc import Sequence

import numpy as np

from tests.multimodal.language.states import COLOURS, GLYPHS, SHAPES

_THING = re.compile(
    rf"pusher|(?:{'|'.join(COLOURS)}) (?:{'|'.join(SHAPES)}|target)\b", re.IGNORECASE
)
_ORDINALS = ("first", "second", "third", "fourth")
_OUTERMOST = {"leftmost": (0, -1), "rightmost": (0, 1), "topmost": (1, 1), "bottommost": (1, -1)}


def answer(kind: str, text: str, states: Sequence[dict], future: Sequence[dict] = ()) -> str:
    """The right answer; AssertionError where there is no single one."""
    state = states[-1]
    if kind == "moved":
        return _moved(text, states[0], states[-1])
    if kind == "success":
        return _success(text, [states[-1], *future])
    return globals()[f"_{kind}"](text, state)


def _slots(state: dict) -> list[int]:
    return [int(slot) for slot in np.flatnonzero(state["object_present"])]


def _name(state: dict, slot: int) -> str:
    colour, shape = state["object_colour"][slot], state["object_shape"][slot]
    return f"{COLOURS[colour]} {SHAPES[shape]}"


def _things(text: str) -> list[str]:
    return _THING.findall(text)


def _where(state: dict, thing: str) -> np.ndarray:
    if thing == "pusher":
        return state["pusher_position_m"]
    colour, noun = thing.split()
    if noun == "target":
        return state["zone_position_m"][list(state["zone_colour"]).index(COLOURS.index(colour))]
    return state["object_position_m"][_slot(state, thing)]


def _slot(state: dict, name: str) -> int:
    found = [slot for slot in _slots(state) if _name(state, slot) == name]
    assert len(found) == 1, f"{name} is there {len(found)} times"
    return found[0]


def _count(text: str, state: dict) -> str:
    for shape in SHAPES:
        if re.search(rf"\b{shape}(s|es)\b", text):
            code = SHAPES.index(shape)
            return str(sum(state["object_shape"][slot] == code for slot in _slots(state)))
    assert re.search(r"object|thing", text)
    return str(len(_slots(state)))


def _the_one_meant(text: str, state: dict) -> int:
    for word, (axis, sign) in _OUTERMOST.items():
        if word in text:
            along = sorted(
                (sign * state["object_position_m"][slot][axis], slot) for slot in _slots(state)
            )
            assert along[-1][0] - along[-2][0] >= 0.03
            return along[-1][1]
    slots = [
        slot
        for slot in _slots(state)
        if re.search(rf"\b{SHAPES[state['object_shape'][slot]]}\b", text)
        or re.search(rf"\b{COLOURS[state['object_colour'][slot]]}\b", text)
    ]
    assert len(slots) == 1
    return slots[0]


def _colour(text: str, state: dict) -> str:
    return COLOURS[state["object_colour"][_the_one_meant(text, state)]]


def _shape(text: str, state: dict) -> str:
    return SHAPES[state["object_shape"][_the_one_meant(text, state)]]


def _existence(text: str, state: dict) -> str:
    colour = [c for c in COLOURS if re.search(rf"\b{c}\b", text)]
    shape = [s for s in SHAPES if re.search(rf"\b{s}\b", text)]
    assert colour or shape
    names = [_name(state, slot).split() for slot in _slots(state)]
    there = any((not colour or c in colour) and (not shape or s in shape) for c, s in names)
    return "yes" if there else "no"


def _relation(text: str, state: dict) -> str:
    a, b = (_where(state, thing) for thing in _things(text)[:2])
    across, along = a - b
    words = set(re.findall(r"\b(left|right|above|below)\b", text))
    if words <= {"left", "right"}:
        assert abs(across) >= 0.03
        true = "left" if across < 0 else "right"
    else:
        assert words <= {"above", "below"}
        assert abs(along) >= 0.03
        true = "above" if along > 0 else "below"
    if len(words) == 2:
        return true
    return "yes" if words == {true} else "no"


def _nearest(text: str, state: dict) -> str:
    (anchor,) = _things(text)
    others = [slot for slot in _slots(state) if _name(state, slot) != anchor]
    reach = np.linalg.norm(state["object_position_m"][others] - _where(state, anchor), axis=1)
    order = np.argsort(reach)
    assert reach[order[1]] - reach[order[0]] >= 0.03
    return _name(state, others[order[0]])


def _position(text: str, state: dict) -> str:
    (thing,) = _things(text)
    x, y = _where(state, thing)
    assert abs(x) >= 0.025
    assert abs(y) >= 0.025
    return ("top" if y > 0 else "bottom") + " " + ("right" if x > 0 else "left")


def _moved(text: str, before: dict, after: dict) -> str:
    ways = after["object_position_m"] - before["object_position_m"]
    reach = {_name(after, slot): float(np.linalg.norm(ways[slot])) for slot in _slots(after)}
    things = _things(text)
    if not things:
        assert all(each <= 0.003 or each >= 0.016 for each in reach.values())
        far = [name for name, each in reach.items() if each >= 0.016]
        assert len(far) <= 1
        return far[0] if far else "nothing"
    (thing,) = things
    if "way" in text or "direction" in text or "Where" in text:
        x, y = ways[_slot(after, thing)]
        assert reach[thing] >= 0.016
        assert abs(abs(x) - abs(y)) > 0.005
        return ("right" if x > 0 else "left") if abs(x) > abs(y) else ("up" if y > 0 else "down")
    assert reach[thing] <= 0.003 or reach[thing] >= 0.016
    return "yes" if reach[thing] >= 0.016 else "no"


def _success(text: str, states: Sequence[dict]) -> str:
    thing = _things(text)[0]
    path = np.stack([_where(state, thing) for state in states])
    if wall := re.search(r"(left|right|top|bottom) wall", text):
        axis, sign = {"left": (0, -1), "right": (0, 1), "top": (1, 1), "bottom": (1, -1)}[wall[1]]
        left = 0.2 - sign * path[:, axis] - 0.06
    else:
        place = _where(states[0], _things(text)[1])
        left = np.linalg.norm(path - place, axis=1) - 0.045
    assert left[0] > 0
    assert abs(left[1:].min()) >= 0.01
    return "yes" if left[1:].min() < 0 else "no"


def _reading(text: str, state: dict) -> str:
    written = "".join(GLYPHS[code] for code in state["sign_text"] if code >= 0)
    _uncovered(state, "sign_box_m")
    nth = [place for place, word in enumerate(_ORDINALS) if re.search(rf"\b{word}\b", text)]
    return written[nth[0]] if nth else written


def _chart(text: str, state: dict) -> str:
    _uncovered(state, "chart_box_m")
    heights = {
        COLOURS[colour]: int(height)
        for colour, height in zip(state["bar_colour"], state["bar_height"], strict=True)
        if colour >= 0
    }
    named = [colour for colour in re.findall(r"[a-z]+", text) if colour in COLOURS]
    if "tallest" in text or "lowest" in text:
        best = (max if "tallest" in text else min)(heights.values())
        winners = [colour for colour, height in heights.items() if height == best]
        assert len(winners) == 1
        return winners[0]
    if not named:
        return str(len(heights))
    if len(named) == 1:
        return str(heights[named[0]])
    a, b = named[::-1] if text.startswith("Compared") else named
    assert heights[a] != heights[b]
    taller = "taller" in text
    assert taller or "lower" in text
    return "yes" if (heights[a] > heights[b]) == taller else "no"


def _uncovered(state: dict, box: str) -> None:
    left, bottom, right, top = state[box]
    assert right > left
    for x, y in [*state["object_position_m"][_slots(state)], state["pusher_position_m"]]:
        near = np.hypot(max(left - x, 0, x - right), max(bottom - y, 0, y - top))
        assert near > 0.038, "something stands on it"
