"""Goals of the Push table: words, vectors, predicates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.push_goals import GOAL_DIM, WALLS, PushGoal
from envs.push_scene import COLOURS, SHAPES, TABLE_HALF_M, ZONE_RADIUS_M
from multimodal.errors import StateError

colours = st.integers(0, len(COLOURS) - 1)
shapes = st.integers(0, len(SHAPES) - 1)
phrases = st.integers(0, 5)
zone_goals = st.builds(PushGoal, colours, shapes, colours, st.just(-1), phrases)
wall_goals = st.builds(PushGoal, colours, shapes, st.just(-1), st.integers(0, 3), phrases)
goals = zone_goals | wall_goals


@given(goals)
def test_the_words_name_the_object_and_the_place(goal):
    words = goal.instruction()
    assert f"{COLOURS[goal.colour]} {SHAPES[goal.shape]}" in words
    assert (WALLS[goal.wall] if goal.wall >= 0 else COLOURS[goal.zone_colour]) in words


@given(zone_goals)
def test_every_phrase_says_the_same_in_other_words(goal):
    said = {
        PushGoal(goal.colour, goal.shape, goal.zone_colour, -1, phrase).instruction()
        for phrase in range(6)
    }
    assert len(said) == 6


@given(goals, goals)
def test_two_goals_share_a_vector_only_if_they_ask_for_the_same(one, other):
    asked = [(g.colour, g.zone_colour, g.wall) for g in (one, other)]
    assert (one.vector() == other.vector()).all() == (asked[0] == asked[1])


@given(goals)
def test_the_vector_says_one_object_and_one_place(goal):
    vector = goal.vector()
    assert vector.shape == (GOAL_DIM,)
    assert vector.dtype == np.float32
    assert sorted(vector)[-2:] == [1, 1]
    assert vector.sum() == 2


@given(goals)
def test_a_goal_survives_saving(goal):
    assert PushGoal.from_array(goal.array()) == goal


def test_a_saved_goal_of_another_length_is_refused():
    with pytest.raises(StateError, match="five integers"):
        PushGoal.from_array(np.zeros(4, np.int64))


@pytest.mark.parametrize(
    ("wall", "at_m"),
    [
        ("left", (-0.17, 0.0)),
        ("right", (0.17, 0.0)),
        ("top", (0.0, 0.17)),
        ("bottom", (0.0, -0.17)),
    ],
)
def test_an_object_at_a_wall_reaches_that_wall_and_no_other(wall, at_m):
    nowhere = np.zeros(2)
    reached = [
        WALLS[w]
        for w in range(4)
        if (goal := PushGoal(0, 0, -1, w, 0)).reached(goal.distance_m(np.array(at_m), nowhere))
    ]
    assert reached == [wall]


@given(st.floats(0, 2 * np.pi), st.floats(0, 0.15))
def test_a_zone_is_reached_inside_its_circle_only(angle, distance_m):
    goal, zone_m = PushGoal(0, 0, 1, -1, 0), np.array([0.03, -0.05])
    at_m = zone_m + distance_m * np.array([np.cos(angle), np.sin(angle)])
    if abs(distance_m - ZONE_RADIUS_M) > 1e-9:
        assert goal.reached(goal.distance_m(at_m, zone_m)) == (distance_m < ZONE_RADIUS_M)


def test_the_middle_of_the_table_reaches_no_wall():
    for wall in range(4):
        goal = PushGoal(0, 0, -1, wall, 0)
        distance_m = goal.distance_m(np.zeros(2), np.zeros(2))
        assert distance_m == pytest.approx(TABLE_HALF_M)
        assert not goal.reached(distance_m)
