"""Which token of a frame a question is about, and how a row and a loss are told."""

import numpy as np
import pytest
import torch

from multimodal.landmarks import BAR_DETAILS
from multimodal.language import Question, Scene
from multimodal.language.scene import Bar, SceneObject, Zone
from multimodal.language.vocabulary import COLOURS, HALF_VIEW_M, SHAPES
from multimodal.things import THING
from multimodal.vlm.pointing import Pointing
from multimodal.vlm.projector import FrameTokens
from multimodal.vlm.turns import IGNORED, Marks, Turn, assemble, collate_rows
from multimodal.vlm.unproven import unproven_places, unproven_things
from worldmodel.objectives.vlm import pointing_loss

FRAME = FrameTokens(4, 8, 3, 9)
CROSS = FRAME.first_thing + 1
SCENE = Scene(
    (SceneObject("red", "ball", 0.1, 0.05), SceneObject("blue", "cube", -0.1, 0.0)),
    (Zone("green", -0.2, 0.2),),
    (0.0, 0.1),
    bars=(Bar("red", 2), Bar("orange", 4)),
)


def things(*points, driven=2):
    """As the reader of layers cuts them out: the blue cube first."""
    found = np.zeros((len(points), THING), np.float16)
    for row, (x_m, y_m) in zip(found, points, strict=True):
        row[-4:-2] = x_m / HALF_VIEW_M, -y_m / HALF_VIEW_M
        row[-1] = 1
    found[driven, -2] = 1
    return found


POINTING = Pointing(FRAME, things((-0.1, 0.0), (0.1, 0.05), (0.0, 0.1)))


def question(kind, family, text, answer, choices):
    return Question(kind, text, answer, choices, 1, f"{family}/0")


@pytest.mark.parametrize(
    ("asked", "token"),
    [
        (("colour", "colour.of_shape", "What colour is the ball?", "red", COLOURS), 32 + 1),
        (("colour", "colour.at", "What colour is the leftmost object?", "blue", COLOURS), 32),
        (("shape", "shape.at", "What shape is the topmost object?", "ball", SHAPES), 32 + 1),
        (("shape", "shape.of_colour", "What shape is the blue object?", "cube", SHAPES), 32),
        (("nearest", "nearest.to", "Which is nearest to the red ball?", "blue cube", ()), 32 + 1),
        (("nearest", "nearest.to", "Which is nearest to the pusher?", "red ball", ()), 32 + 2),
        (("nearest", "nearest.to", "Which is nearest to the green target?", "blue cube", ()), 0),
        (("chart", "chart.height", "How high is the orange bar?", "4", ()), 35 + BAR_DETAILS[1]),
        (("chart", "chart.extreme", "Which bar is lowest?", "red", COLOURS), 35 + BAR_DETAILS[0]),
        (("chart", "chart.bars", "How many bars are there?", "2", ()), None),
        (("count", "count.objects", "How many objects are there?", "2", ()), None),
    ],
)
def test_a_question_is_about_the_token_that_shows_it(asked, token):
    assert POINTING.at(question(*asked), SCENE) == token


def test_where_nothing_was_cut_out_there_is_nothing_to_point_at():
    asked = question("colour", "colour.of_shape", "What colour is the ball?", "red", COLOURS)
    assert Pointing(FrameTokens(4, 8), None).at(asked, SCENE) is None
    # Neither where something else lies.
    elsewhere = Pointing(FRAME, things((-0.1, 0.0), (0.15, -0.1), (0.0, 0.1)))
    assert elsewhere.at(asked, SCENE) is None
    chart = question("chart", "chart.height", "How high is the red bar?", "2", ())
    assert Pointing(FrameTokens(4, 8, 3), POINTING.things).at(chart, SCENE) is None


def test_a_row_points_from_where_the_answer_goes_on_to_a_token_of_its_own_frame():
    marks = Marks(0, 1, 2, 3)
    turns = [
        Turn((20, 21, 22), (30, 31, marks.eos), 1, looks=4),
        Turn((40, 41), (42, marks.eos), 1),
    ]
    turns.append(Turn((50, 51), (52, marks.eos), 2, looks=4))
    row = assemble(turns, 2, 6, marks)
    looks = row["looks"]
    assert len(looks) == len(row["ids"])
    places = np.flatnonzero(looks != IGNORED)
    # After the question's last token and the answer's first, and after the third question's.
    assert row["ids"][places].tolist() == [22, 30, 51]
    assert looks[places].tolist() == [1 + 4, 1 + 4, 1 + 6 + 4]
    assert (row["ids"][looks[places]] == marks.image).all()
    # What is not asked to the end, as when the model answers, points nowhere.
    assert (assemble([Turn((20,), (), 1, looks=4)], 1, 6, marks)["looks"] == IGNORED).all()


def test_one_and_the_same_head_has_to_look_there():
    marks = Marks(0, 1, 2, 3)
    looks = collate_rows([assemble([Turn((9, 8), (7, 2), 1, looks=1)], 1, 3, marks)])["looks"]
    attended, nothing = torch.zeros(1, 2, 8, 8), torch.zeros(1, 8, dtype=torch.bool)
    attended[0, :, 5] = torch.tensor([0.25, 0.25, 0.25, 0.25, 0, 0, 0, 0])
    assert float(pointing_loss(attended, looks, nothing)) == pytest.approx(np.log(4))
    # What takes no part in the choice is no worse a place to look at, and no better.
    barred = nothing.clone()
    barred[0, 3] = True
    assert float(pointing_loss(attended, looks, barred)) == pytest.approx(np.log(3))
    attended[0, 1, 5] = torch.tensor([0.0, 0, 1, 0, 0, 0, 0, 0])
    assert float(pointing_loss(attended, looks, nothing)) == pytest.approx(np.log(4))
    attended[0, 0, 5] = torch.tensor([0.0, 0, 1, 0, 0, 0, 0, 0])
    assert float(pointing_loss(attended, looks, nothing)) == 0
    nowhere = torch.full_like(looks, IGNORED)
    assert float(pointing_loss(attended, nowhere, nothing[:0])) == 0


def named(*things):
    return [[SHAPES.index(s), COLOURS.index(c)] if s else [-1, -1] for c, s in things]


def test_nothing_is_concluded_of_things_that_share_half_of_a_held_out_combination():
    """Red crosses, orange balls and green cubes are never shown."""
    things = torch.tensor(
        [
            named(("red", "cube"), ("green", "cross"), ("orange", "cross"), ("", "")),
            named(("blue", "ball"), ("red", "ball"), ("purple", "triangle"), ("orange", "cube")),
            named(("", ""), ("red", "cube"), ("green", "cross"), ("blue", "cube")),
        ]
    )
    barred = unproven_things(things, torch.tensor([1, 1, 0]))
    # Who is asked for a cross must not learn that what is red is none; nor from what has no name.
    assert barred.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert unproven_things(things[:0], torch.zeros(0, dtype=torch.long)).shape == (0, 4)


def test_such_things_take_no_part_in_looking_either():
    marks = Marks(0, 1, 2, 3)
    turns = [
        Turn((20,), (30, 2), 1, looks=CROSS),
        Turn((21,), (31, 2), 2, looks=CROSS),
        Turn((22,), (32, 2), 2, looks=5),
    ]
    row = assemble(turns, 2, FRAME.count, marks)
    batch = collate_rows([assemble(turns[:1], 1, FRAME.count, marks), row])
    frames = [
        named(("", ""), ("green", "cross"), ("red", "cube")),
        named(("red", "cube"), ("green", "cross"), ("", "")),
        named(("red", "ball"), ("green", "cross"), ("orange", "cross")),
    ]
    barred = unproven_places(batch["looks"], torch.tensor(frames), torch.tensor([0, 1]), FRAME)
    first, second = 1 + FRAME.first_thing, 1 + FRAME.count + FRAME.first_thing
    places = [each.nonzero().flatten().tolist() for each in barred]
    # A red cube in the frames of the first two; in the third's a red ball; a block is no thing.
    assert places == [[first + 2], [first], [second], []]
    assert unproven_places(
        torch.full((1, 9), IGNORED), torch.tensor(frames), torch.zeros(1, dtype=torch.long), FRAME
    ).shape == (0, 9)
