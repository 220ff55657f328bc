"""Objects in colours without a name: the shape stays, the rest of the frame stays, no name fits."""

import colorsys

import numpy as np
import pytest

from multimodal.language.vocabulary import HALF_VIEW_M
from multimodal.recolour import nameless_colour, recoloured

TABLE = np.array([200, 200, 195], np.uint8)
RED = np.array([220, 30, 30], np.uint8)


def cross(row=20, column=40):
    frame = np.tile(TABLE, (64, 64, 1))
    frame[row - 5 : row + 6, column - 2 : column + 3] = RED
    frame[row - 2 : row + 3, column - 5 : column + 6] = RED
    return frame


def place(row=20, column=40):
    return (2 * (column + 0.5) / 64 - 1) * HALF_VIEW_M, (1 - 2 * (row + 0.5) / 64) * HALF_VIEW_M


def test_the_object_changes_and_nothing_else():
    frame = cross()
    made = recoloured(frame, *place(), np.random.default_rng(0))
    changed = (made != frame).any(-1)
    assert np.array_equal(changed, (frame == RED).all(-1))
    assert len(np.unique(made[changed], axis=0)) == 1


@pytest.mark.parametrize("corner", [(1, 1), (62, 62), (0, 63)])
def test_an_object_at_the_edge_of_the_frame_is_recoloured_too(corner):
    frame = np.tile(TABLE, (64, 64, 1))
    frame[max(0, corner[0] - 3) : corner[0] + 4, max(0, corner[1] - 3) : corner[1] + 4] = RED
    made = recoloured(frame, *place(*corner), np.random.default_rng(0))
    assert not (made == RED).all(-1).any()


def test_the_same_generator_gives_the_same_frame():
    made = [recoloured(cross(), *place(), np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(*made)


def test_no_colour_is_near_a_named_hue():
    rng = np.random.default_rng(0)
    for _ in range(300):
        colour = nameless_colour(rng, TABLE.astype(float))
        hue, saturation, _ = colorsys.rgb_to_hsv(*(colour / 255))
        hue_degrees = 360 * hue
        # The named ones: red 0, orange 30, yellow 55, green 130, blue 228, purple 283.
        near = any(
            abs((hue_degrees - named + 180) % 360 - 180) < 15
            for named in (0, 30, 55, 130, 228, 283)
        )
        assert saturation <= 0.21 or not near
        assert np.linalg.norm(colour - TABLE) > 70
