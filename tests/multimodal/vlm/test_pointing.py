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
from worldmodel.objectives.vlm import pointing_loss

FRAME = FrameTokens(4, 8, 3, 9)
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
    attended = torch.zeros(1, 2, 8, 8)
    attended[0, :, 5] = torch.tensor([0.25, 0.25, 0.25, 0.25, 0, 0, 0, 0])
    assert float(pointing_loss(attended, looks)) == pytest.approx(np.log(4))
    attended[0, 1, 5] = torch.tensor([0.0, 0, 1, 0, 0, 0, 0, 0])
    assert float(pointing_loss(attended, looks)) == pytest.approx(np.log(4))
    attended[0, 0, 5] = torch.tensor([0.0, 0, 1, 0, 0, 0, 0, 0])
    assert float(pointing_loss(attended, looks)) == 0
    assert float(pointing_loss(attended, torch.full_like(looks, IGNORED))) == 0
