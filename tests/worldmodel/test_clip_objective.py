"""CLIP's loss: what counts as true, what as unknown, and that it learns to tell pictures apart."""

import pytest
import torch

from multimodal.clip import ClipModel
from multimodal.clip_data import combination, prompt_ids, token_at
from multimodal.language import HELD_OUT_COMBINATIONS, TRAINING_COMBINATIONS
from multimodal.language.vocabulary import HALF_VIEW_M
from multimodal.text_tokenizer import train_text_tokenizer
from worldmodel.objectives.clip import ClipObjective, contrast, truth

RED_CUBE, BLUE_BALL = 1 << combination("red", "cube"), 1 << combination("blue", "ball")


def test_an_exact_text_is_true_of_every_picture_with_just_these_objects():
    shown = torch.tensor([RED_CUBE, RED_CUBE, RED_CUBE | BLUE_BALL])
    named = torch.tensor([RED_CUBE, RED_CUBE, RED_CUBE | BLUE_BALL])
    true, unknown = truth(shown, named, torch.tensor([True, True, True]))
    assert true.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert not unknown.any()


def test_a_text_that_says_more_may_be_true_of_other_pictures_with_its_objects():
    shown = torch.tensor([RED_CUBE, RED_CUBE | BLUE_BALL, BLUE_BALL])
    named = torch.tensor([RED_CUBE, RED_CUBE | BLUE_BALL, BLUE_BALL])
    true, unknown = truth(shown, named, torch.tensor([False, True, True]))
    assert true.tolist() == torch.eye(3, dtype=torch.bool).tolist()
    assert unknown.tolist() == [[False] * 3, [True, False, False], [False] * 3]


def test_unknown_columns_count_neither_way():
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    true = torch.tensor([[True, False, False]])
    without = contrast(logits[:, :2], true[:, :2], torch.zeros(1, 2, dtype=torch.bool))
    unknown = torch.tensor([[False, False, True]])
    torch.testing.assert_close(contrast(logits, true, unknown), without)


def test_any_of_several_true_columns_will_do():
    logits = torch.tensor([[5.0, -5.0, 0.0]])
    true = torch.tensor([[True, True, False]])
    assert float(contrast(logits, true, torch.zeros_like(true))) < 0.01


@pytest.mark.parametrize(
    ("x_m", "y_m", "token"),
    [
        (-HALF_VIEW_M, HALF_VIEW_M, 0),
        (HALF_VIEW_M, HALF_VIEW_M, 7),
        (-HALF_VIEW_M, -HALF_VIEW_M, 56),
        (9.0, -9.0, 63),
        (0.01, -0.01, 36),
    ],
)
def test_a_point_of_the_table_lies_in_the_token_that_shows_it(x_m, y_m, token):
    assert token_at(x_m, y_m, 64) == token


@pytest.fixture(scope="module")
def objective():
    tokenizer = train_text_tokenizer(
        [f"a photo of a {c} {s} object" for c, s in TRAINING_COMBINATIONS], vocab_size=400
    )
    torch.manual_seed(0)
    model = ClipModel(
        channels=8,
        width=32,
        hidden=64,
        layers=1,
        heads=2,
        vocabulary=len(tokenizer),
        text_width=32,
        text_layers=1,
        text_heads=2,
        embedding=16,
    )
    return ClipObjective(model, prompt_ids(tokenizer, 48), tokenizer)


def batch(objective, count=6):
    """Pictures of one thing each, whose latents are noise of their own."""
    generator = torch.Generator().manual_seed(0)
    names = objective.prompts[0, :count]
    bits = torch.tensor([1 << combination(*pair) for pair in TRAINING_COMBINATIONS[:count]])
    things = torch.full((count, 4), -1)
    things[:, 0] = torch.arange(count)
    return {
        "glances": torch.randn(count, 64 * 8, generator=generator),
        "text": names,
        "wrong": names.roll(1, 0),
        "shown": bits,
        "named": bits,
        "exact": torch.ones(count, dtype=torch.bool),
        "places": torch.full((count, 4), 9),
        "things": things,
    }


def test_no_prompt_names_a_held_out_combination(objective):
    names = objective.prompts.shape
    assert names[:2] == (10, 18 + 6 + 4)
    for template in objective.prompts:
        for ids in template:
            text = objective.tokenizer.decode(ids[ids > 2])
            assert not any(f"{c} {s}" in text for c, s in HELD_OUT_COMBINATIONS)


def test_a_colour_says_nothing_of_the_shape_it_never_had(objective):
    """Red was never a cross: whatever a red thing has to do with crosses, no loss comes of it."""
    red = [k for k, (colour, _) in enumerate(TRAINING_COMBINATIONS) if colour == "red"]
    crosses = [k for k, (_, shape) in enumerate(TRAINING_COMBINATIONS) if shape == "cross"]
    crosses.append(18 + 6 + 3)
    logits = torch.randn(len(red), 28)
    pushed = logits.clone()
    pushed[:, crosses] += 100
    wanted = torch.tensor(red)
    before = objective._naming(logits, wanted)
    after = objective._naming(pushed, wanted)
    torch.testing.assert_close(before, after)


def test_one_batch_is_learnt_by_heart(objective):
    optimizer = torch.optim.AdamW(objective.parameters(), 3e-3)
    samples = batch(objective)
    torch.manual_seed(0)
    first = objective(**samples)
    for _ in range(80):
        optimizer.zero_grad()
        objective(**samples)["loss"].backward()
        optimizer.step()
    last = objective(**samples)
    assert float(last["loss"].detach()) < 0.3 * float(first["loss"].detach())
    assert float(last["near_right"]) == 1
    assert float(last["place_right"]) == 1
