"""Dense labels: each thing marks the tokens around its middle, and nothing is concluded wrongly."""

import numpy as np
import pytest

from envs.reading_scene import PIXEL_M, PrintedTable, rectangles
from multimodal.clip_data import token_at
from multimodal.landmarks import KINDS, landmarks
from multimodal.language import Scene
from multimodal.language.scene import Bar, SceneObject, Zone
from multimodal.language.vocabulary import COLOURS, GLYPHS, HALF_VIEW_M

SCENE = Scene(
    (SceneObject("red", "cube", 0.1, 0.05), SceneObject("blue", "ball", -0.12, -0.1)),
    (Zone("green", 0.01, 0.15),),
    (0.15, -0.15),
)


def column(found, kind):
    return found[:, KINDS.index(kind)]


def test_a_target_marks_the_token_that_shows_it_most():
    (zone,) = SCENE.zones
    share = column(landmarks(SCENE), "green target")
    assert share.argmax() == token_at(zone.x_m, zone.y_m, 64)
    assert share[share > 0].sum() == pytest.approx(1)


def test_what_is_absent_marks_nothing():
    found = landmarks(SCENE)
    assert not column(found, "yellow target").any()
    assert not column(found, "letter A").any()
    assert not column(found, "letter number 1").any()


def test_the_middle_of_a_token_is_that_tokens_alone():
    edge = 2 * HALF_VIEW_M / 8
    scene = Scene((), (Zone("red", 0.5 * edge, 0.5 * edge),), (0, 0))
    assert column(landmarks(scene), "red target").max() == pytest.approx(1, abs=1e-5)


def test_letters_and_bars_lie_where_the_world_prints_them():
    """The strokes of a letter surround its landmark, and a bar stands on its own."""
    text, colours, heights = np.full(4, -1), np.full(5, -1), np.zeros(5, int)
    text[:3], colours[:2], heights[:2] = (3, 7, 11), (1, 4), (2, 5)
    sign_m = PIXEL_M * np.array([-20, 5, 18, 23])
    chart_m = PIXEL_M * np.array([-25, -30, -7, -5])
    printed = PrintedTable(text, sign_m, colours, heights, chart_m)
    bars = (Bar(COLOURS[1], 2), Bar(COLOURS[4], 5))
    letters = "".join(GLYPHS[code] for code in text[:3])
    scene = Scene((), (), (0.2, 0.2), letters, bars, tuple(sign_m), tuple(chart_m))
    found, drawn = landmarks(scene), rectangles(printed)
    for place, letter in enumerate(letters):
        boxes = [r.box_m for n, r in drawn.items() if r and n.startswith(f"sign_{place}_")]
        left, bottom = np.min(boxes, 0)[:2]
        right, top = np.max(boxes, 0)[2:]
        middle = token_at((left + right) / 2, (bottom + top) / 2, 64)
        assert column(found, f"letter {letter}").argmax() == middle
        assert column(found, f"letter number {place + 1}").argmax() == middle
    for place, bar in enumerate(bars):
        left, bottom, right, _ = drawn[f"chart_bar{place}"].box_m
        foot = token_at((left + right) / 2, bottom + PIXEL_M, 64)
        assert column(found, f"{bar.colour} bar {bar.height}").argmax() == foot
