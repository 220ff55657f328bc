"""Words told to a projector: each part is brought near its word and learns of no other part."""

from dataclasses import asdict

import pytest
import torch

from multimodal.glance import GlanceLayout
from multimodal.landmarks import KINDS
from multimodal.language import COLOURS, SHAPES
from multimodal.language.vocabulary import GLYPHS
from multimodal.text_tokenizer import encode_text, load_text_tokenizer
from multimodal.vlm.language import small_language
from multimodal.vlm.model import VlmModel
from multimodal.vlm.turns import Marks
from tests.worldmodel.vlm_recordings import save_text
from worldmodel.objectives.spelling import SpellingLoss


@pytest.fixture
def parts(tmp_path):
    torch.manual_seed(0)
    tokenizer = load_text_tokenizer(save_text(tmp_path / "text"))
    language = small_language(tokenizer, width=32, hidden=32, layers=1, heads=2)
    config = language.config.to_diff_dict() | {"model_type": "llama"}
    sizes = {"width": 24, "hidden": 24, "layers": 1, "heads": 2, "merge": (2, 1)}
    # As large as those of a trained model: words of 0.02 look alike.
    language.get_input_embeddings().weight.data.normal_(0, 0.5)
    layout = asdict(GlanceLayout(16, 4, 2))
    model = VlmModel(config, asdict(Marks.of(tokenizer)), **layout, **sizes)
    model.language.load_state_dict(language.state_dict())
    return model, tokenizer, SpellingLoss(tokenizer)


def labels():
    named = torch.full((3, 2, 2), -1)
    named[0, 0], named[1, 1] = torch.tensor([2, 4]), torch.tensor([0, 1])
    marks = torch.zeros(3, 16, len(KINDS))
    marks[2, 5, KINDS.index(f"letter {GLYPHS[3]}")] = 0.9
    return named, marks


def test_tokens_come_to_look_like_the_words_for_what_they_show(parts):
    model, tokenizer, spelling = parts
    features, (named, marks) = torch.randn(3, 18, 24), labels()
    optimizer = torch.optim.AdamW(model.projector.parameters(), 1e-2)
    for _ in range(60):
        loss = spelling(model, features, named, marks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5
    shape, colour = SHAPES[2], COLOURS[4]
    for part, word in ((0, shape), (1, colour)):
        token = model.projector.part_of(features[0, 16:17], part)
        said = model.language.get_output_embeddings()(model.language.base_model.norm(token))
        assert int(said.argmax()) == encode_text(tokenizer, f" {word}")[-1]
    token = model.projector(features[2:])[0, 1]
    said = model.language.get_output_embeddings()(model.language.base_model.norm(token))
    assert int(said.argmax()) == encode_text(tokenizer, GLYPHS[3])[-1]


def test_where_nothing_has_a_name_there_is_no_loss(parts):
    model, _, spelling = parts
    named, marks = labels()
    nothing = spelling(
        model, torch.randn(3, 18, 24), torch.full_like(named, -1), torch.zeros_like(marks)
    )
    assert float(nothing) == 0


def test_a_colour_teaches_the_shapes_part_nothing(parts):
    model, _, spelling = parts
    named, marks = labels()
    features = torch.randn(3, 18, 24, requires_grad=True)
    loss = spelling(model, features, named, torch.zeros_like(marks))
    loss.backward()
    place = features.grad[0, 16, 16:]
    assert torch.equal(place, torch.zeros_like(place))
    other = features.detach().clone()
    other[0, 16, 8:16] = 9 * torch.randn(8)
    again = spelling(model, other, named, torch.zeros_like(marks))
    told = [model.projector.part_of(each[0, 16:17], 0) for each in (features, other)]
    torch.testing.assert_close(told[0], told[1])
    assert not torch.isclose(loss.detach(), again.detach())
