"""What things are among others: the outermost, the nearest, and what is learnt of it."""

from dataclasses import asdict

import pytest
import torch

from multimodal.glance import GlanceLayout
from multimodal.landmarks import DETAILS, KINDS
from multimodal.language import COLOURS, SHAPES
from multimodal.text_tokenizer import load_text_tokenizer
from multimodal.things import THING
from multimodal.vlm.words import read_words
from tests.worldmodel.vlm_recordings import small_vlm
from worldmodel.objectives.company import CompanyLoss, neighbours, outermost, outstanding

LAYOUT = GlanceLayout(16, 4, 3)
PRINTED = torch.full((1, DETAILS, 3), -1)


def test_the_outermost_is_told_only_where_it_is_clear_and_the_pusher_is_none():
    place = torch.tensor([[[-0.5, 0.0], [0.5, 0.02], [-0.9, 0.9]]])
    which, clear = outermost(place, torch.tensor([[True, True, False]]))
    assert which[0, :2].tolist() == [0, 1]
    assert clear[0].tolist() == [True, True, False, False]
    _, alone = outermost(place, torch.tensor([[True, False, False]]))
    assert not alone.any()


def test_the_nearest_is_another_object_and_told_only_where_it_is_clear():
    place = torch.tensor([[[0.0, 0.0], [0.3, 0.0], [-0.31, 0.0]]])
    named = torch.tensor([[True, True, True]])
    near = neighbours(place, place, named, itself=True)
    assert near.nearest[0, 1:].tolist() == [0, 0]
    assert near.clear[0].tolist() == [False, True, True]
    pusher = neighbours(place, place, torch.tensor([[False, True, True]]), itself=True)
    # Each of two objects has only the other.
    assert pusher.nearest[0, 1:].tolist() == [2, 1]
    assert pusher.clear[0].tolist() == [False, True, True]
    target = neighbours(torch.tensor([[[0.29, 0.0]]]), place, named, itself=False)
    assert target.nearest.item() == 1
    nothing = neighbours(place, place, torch.zeros(1, 3, dtype=torch.bool), itself=True)
    assert not nothing.clear.any()


def test_the_tallest_and_the_lowest_bar_are_told_only_where_one_of_them_is():
    which, clear = outstanding(torch.tensor([[3, 5, 1, -1, -1], [2, 2, 4, -1, -1], [3] + 4 * [-1]]))
    assert which[0].tolist() == [1, 2]
    assert clear.tolist() == [[True, True], [True, False], [False, False]]
    assert which[1, 0] == 2


@pytest.fixture
def parts(tmp_path):
    torch.manual_seed(0)
    sizes = asdict(LAYOUT) | {"merge": (2, 1), "exchanges": 2}
    model = small_vlm(tmp_path / "text", 0.5, **sizes)
    return model, CompanyLoss(load_text_tokenizer(tmp_path / "text"), 32)


def scenes(count, generator):
    """Frames of two objects and the pusher at any places, what they are, and a target."""
    things = torch.zeros(count, 3, THING)
    things[..., -4:-2] = torch.rand(count, 3, 2, generator=generator) * 1.8 - 0.9
    things[:, 2, -2], things[..., -1] = 1, 1
    things[:, 0, -7:-4], things[:, 1, -7:-4] = torch.tensor([0.9, 0.1, 0.1]), 0.2
    named = torch.full((count, 3, 2), -1)
    named[:, 0] = torch.tensor([SHAPES.index("cube"), COLOURS.index("red")])
    named[:, 1] = torch.tensor([SHAPES.index("ball"), COLOURS.index("blue")])
    marks = torch.zeros(count, 16, len(KINDS))
    frames = torch.zeros(count, 1, 1, 3, dtype=torch.uint8)
    return LAYOUT.row(torch.zeros(count, 16, 4), things, frames), named, marks


def test_tokens_learn_which_is_the_leftmost_and_what_is_the_nearest(parts):
    model, company = parts
    generator = torch.Generator().manual_seed(1)
    weights = [*model.tower.parameters(), *model.projector.parameters(), *company.parameters()]
    optimizer = torch.optim.AdamW(weights, 5e-3)
    losses = []
    for _ in range(110):
        seen, named, marks = scenes(48, generator)
        loss = company(model, model.projector(model.tower(seen)), seen, named, marks, PRINTED)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    seen, named, _ = scenes(400, generator)
    tokens = model.projector(model.tower(seen))[:, 8:11]
    place = LAYOUT.parts(seen).things[..., -4:-2]
    which, clear = outermost(place, named[..., 0] >= 0)
    said = read_words(model.language, tokens[:, :2])[..., company.words].argmax(1)
    assert float((said == which)[clear].float().mean()) > 0.9
    near = neighbours(place, place, named[..., 0] >= 0, itself=True)
    colours = company.colour(tokens[:, 2]).argmax(-1)
    right = colours == named[torch.arange(400), near.nearest[:, 2], 1]
    assert float(right[near.clear[:, 2]].float().mean()) > 0.85
    assert sum(losses[-10:]) < sum(losses[:10]) / 2


def test_a_bar_is_told_that_it_is_the_lowest_at_the_token_that_asks_for_it(tmp_path):
    torch.manual_seed(0)
    sizes = asdict(LAYOUT) | {"merge": (2, 1), "exchanges": 1, "details": DETAILS}
    model = small_vlm(tmp_path / "text", 0.5, **sizes)
    company = CompanyLoss(load_text_tokenizer(tmp_path / "text"), 32)
    seen, named, marks = scenes(1, torch.Generator().manual_seed(2))
    printed = torch.full((1, DETAILS, 3), -1)
    tokens = model.projector(model.tower(seen)).detach().requires_grad_(True)
    company(model, tokens, seen, named, marks, printed).backward()
    assert not tokens.grad[0, -DETAILS:].any()
    printed[0, 4:7, 2] = torch.tensor([3, 3, 2])
    company(model, tokens, seen, named, marks, printed).backward()
    assert torch.where(tokens.grad[0].abs().sum(-1) > 0)[0].tolist()[-3:] == [
        tokens.shape[1] - DETAILS + place for place in (4, 5, 6)
    ]
    moved = tokens.detach() - 3.0 * tokens.grad
    tallest, lowest = (
        read_words(model.language, moved[0, -5:-2])[:, company.bars]
        - read_words(model.language, tokens.detach()[0, -5:-2])[:, company.bars]
    ).T
    assert lowest.argmax() == 2
    # Two are tallest, so that no bar is told to be it.
    assert tallest.abs().max() < lowest.abs().max()


def test_the_nearest_to_a_target_is_told_at_the_targets_token(parts):
    model, company = parts
    seen, named, marks = scenes(2, torch.Generator().manual_seed(2))
    tokens = model.projector(model.tower(seen)).detach().requires_grad_(True)
    company(model, tokens, seen, named, marks, PRINTED).backward()
    assert not tokens.grad[:, :8].any()
    marks[0, 5, KINDS.index("red target")] = 0.9
    tokens.grad = None
    company(model, tokens, seen, named, marks, PRINTED).backward()
    # Row and column 1 of a grid of 4 by 4 lie in the first row of blocks of two rows.
    assert torch.where(tokens.grad[:, :8].abs().sum(-1) > 0)[0].tolist() == [0]
    assert torch.where(tokens.grad[0, :8].abs().sum(-1) > 0)[0].tolist() == [1]
