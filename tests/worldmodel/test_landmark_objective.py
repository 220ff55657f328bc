"""Dense labels in training: a tower learns what each of its tokens shows."""

from dataclasses import asdict

import pytest
import torch

from multimodal.glance import GlanceLayout
from multimodal.landmarks import DETAILS, KINDS
from multimodal.text_tokenizer import train_text_tokenizer
from multimodal.tower import VisionTower
from multimodal.vlm.language import next_logits, small_language
from multimodal.vlm.model import VlmModel
from multimodal.vlm.turns import IGNORED, Marks, Turn, assemble, collate_rows
from worldmodel.objectives.landmarks import LandmarkHead
from worldmodel.objectives.vlm import AnswerObjective, train_only


def test_a_tower_learns_what_changed_from_changes_alone():
    """The place is marked that the frame before had otherwise; the frame itself does not tell."""
    torch.manual_seed(0)
    tower = VisionTower(GlanceLayout(16, 4), 16, 32, 1, 2, neighbours=1, changes=True)
    head = LandmarkHead(16)
    optimizer = torch.optim.AdamW([*tower.parameters(), *head.parameters()], 1e-2)
    seen = torch.randn(16, 16, 4)
    before, wanted = seen.clone(), torch.zeros(16, 16, len(KINDS))
    for row in range(16):
        before[row, row] -= 1
        wanted[row, row, 0] = 1
    glances, before = seen.flatten(1), before.flatten(1)
    losses = []
    for _ in range(60):
        loss = head(tower(glances, before), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[5]
    said = head.read(tower(glances, before))[..., 0]
    assert torch.equal(said.argmax(1), torch.arange(16))


def test_a_barred_word_takes_no_part_in_the_choice():
    torch.manual_seed(0)
    tokenizer = train_text_tokenizer(["a red cross"], vocab_size=300)
    language = small_language(tokenizer, width=16, hidden=16, layers=1, heads=1)
    hidden = torch.randn(1, 3, 16)
    labels = torch.tensor([[IGNORED, 20, 21]])
    barred = torch.full((1, 3, 2), IGNORED)
    barred[0, 2, 1] = 30
    logits, ids = next_logits(language, hidden, labels, barred)[:2]
    plain = next_logits(language, hidden, labels).logits
    assert ids.tolist() == [20, 21]
    assert torch.isinf(logits).nonzero().tolist() == [[1, 30]]
    kept = ~torch.isinf(logits)
    torch.testing.assert_close(logits[kept], plain[kept])
    torch.nn.functional.cross_entropy(logits, ids).backward()
    assert torch.isfinite(language.get_output_embeddings().weight.grad).all()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    tokenizer = train_text_tokenizer(["what moved"], vocab_size=300)
    language = small_language(tokenizer, width=16, hidden=16, layers=1, heads=1)
    config = language.config.to_diff_dict() | {"model_type": "llama"}
    marks = asdict(Marks.of(tokenizer))
    sizes = {"channels": 4, "tokens": 16, "width": 16, "hidden": 16, "layers": 1, "heads": 2}
    vlm = VlmModel(config, marks, merge=(1, 1), neighbours=1, changes=True, **sizes)
    return vlm, tokenizer


def rows(model, *clips):
    turns = [Turn((20, 21), (22, 2), len(clip)) for clip in clips]
    laid = [
        assemble([turn], len(clip), 16, model.marks) | {"glances": clip.numpy()}
        for turn, clip in zip(turns, clips, strict=True)
    ]
    return collate_rows(laid)


def test_changes_are_those_since_the_first_frame_of_the_own_row(model):
    vlm, _ = model
    one, two = torch.randn(2, 64), torch.randn(3, 64)
    both = rows(vlm, one, two)
    together = vlm.see(both["ids"], both["glances"]).features
    alone = [
        vlm.see(batch["ids"], batch["glances"]).features
        for batch in (rows(vlm, one), rows(vlm, two))
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-4)
    still = torch.stack([one[1], one[1]])
    unchanged = rows(vlm, still)
    seen = vlm.see(unchanged["ids"], unchanged["glances"]).features
    torch.testing.assert_close(seen[0], seen[1])
    assert not torch.allclose(seen[1], together[1], atol=1e-3)


def test_landmarks_teach_the_tower_where_it_learns_and_not_where_it_is_frozen(model):
    vlm, tokenizer = model
    batch = rows(vlm, torch.randn(1, 64)) | {"landmarks": torch.zeros(1, 16, len(KINDS))}
    batch["named"] = torch.zeros(1, 0, 2, dtype=torch.int64)
    batch["printed"] = torch.full((1, DETAILS, 3), -1)
    learns = AnswerObjective(train_only(vlm, ["tower", "projector", "language"]), tokenizer)
    found = learns(**batch)
    assert float(found["landmarks"]) > 0
    assert float(found["loss"].detach()) > float(found["answers"])
    frozen = AnswerObjective(train_only(vlm, ["projector"]), tokenizer)
    assert frozen.landmarks is None
    assert "landmarks" not in frozen(**batch)
