"""Preference pairs: what is rejected, what is kept beside them, and how both are learnt from."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from multimodal.language import in_training
from multimodal.pictures import Pictures
from multimodal.text_tokenizer import load_text_tokenizer
from multimodal.vlm.descriptions import mistakes
from multimodal.vlm.language import small_language
from multimodal.vlm.model import VlmModel
from multimodal.vlm.preferences import KEPT, PreferencePairs, collate_pairs, draw_preferences
from multimodal.vlm.questioned import QuestionedPictures
from multimodal.vlm.turns import Marks
from tests.worldmodel.vlm_recordings import record_scenes, save_text
from worldmodel.evaluation.vlm_cases import open_flat
from worldmodel.objectives.vlm import PreferenceObjective


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preferences")
    flat = open_flat(record_scenes(folder / "scenes"))
    tokenizer = load_text_tokenizer(save_text(folder / "text"))
    latents = np.random.default_rng(0).normal(size=(len(flat.frames), 64, 4)).astype(np.float16)
    pictures = Pictures(flat, latents)
    torch.manual_seed(0)
    language = small_language(tokenizer, width=16, hidden=16, layers=1, heads=2)
    model = VlmModel(
        language.config.to_diff_dict() | {"model_type": "llama"},
        asdict(Marks.of(tokenizer)),
        **asdict(pictures.layout),
        width=12,
        hidden=16,
        layers=1,
        heads=2,
    )
    pairs = draw_preferences(model.eval(), tokenizer, pictures, 12, 0)
    return model, tokenizer, pictures, pairs


def test_what_is_rejected_is_false_and_names_nothing_held_out(parts):
    _, _, pictures, pairs = parts
    described = [pair for pair in pairs if pair.chosen.startswith(("a ", "an "))]
    assert len(described) >= 10
    for pair in pairs:
        assert pair.chosen != pair.rejected
        assert in_training(pair.rejected)
    for pair in described:
        assert any(mistakes(pair.rejected, pictures.scene(pair.row)))
        assert mistakes(pair.chosen, pictures.scene(pair.row)) == (0, 0, 0)


def test_pairs_to_judge_by_are_of_frames_that_are_not_trained_on(parts):
    model, tokenizer, pictures, pairs = parts
    held = draw_preferences(model, tokenizer, pictures, 4, 0, "validation")
    assert {pair.row for pair in held} <= set(pictures.numbers("validation").tolist())
    assert {pair.row for pair in pairs} <= set(pictures.numbers("train").tolist())


def test_questions_beside_the_pairs_add_their_own_loss(parts):
    model, tokenizer, pictures, pairs = parts
    kept = QuestionedPictures(
        [pictures], [1.0], tokenizer, model.marks, model.frame, "train", 1, len(pairs)
    )
    plain = PreferencePairs(pairs, pictures, tokenizer, model)
    beside = PreferencePairs(pairs, pictures, tokenizer, model, kept)
    without, batch = (collate_pairs([data[k] for k in range(4)]) for data in (plain, beside))
    assert len(batch["ids"]) == 8
    assert len(batch[f"{KEPT}ids"]) == 4
    objective = PreferenceObjective(model, tokenizer).eval()
    alone, both = objective(**without), objective(**batch)
    assert float(both["answers"]) > 0
    torch.testing.assert_close(both["loss"], alone["loss"] + both["answers"])
    torch.testing.assert_close(both["margin"], alone["margin"])
