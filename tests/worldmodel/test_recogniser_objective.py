"""What the recogniser learns from, and that it learns."""

import torch

from multimodal.speech.model import BLANK, SpeechModel, letter_ids, speech_config, spoken_letters
from worldmodel.objectives.recogniser import RecogniserObjective

TEXTS = ["push the red cube", "stop", ""]


def test_both_heads_learn_a_batch_by_heart():
    torch.manual_seed(0)
    config = speech_config(width=48, layers=1, near=1, heads=2, hidden=64)
    objective = RecogniserObjective(SpeechModel(config))
    optimizer = torch.optim.AdamW(objective.parameters(), lr=5e-3)
    features = torch.randn(3, 80, 160)
    first = None
    for _ in range(120):
        made = objective(features, TEXTS)
        first = first or {name: float(each.detach()) for name, each in made.items()}
        made["loss"].backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert float(made["ctc"]) < 0.1 * first["ctc"]
    assert float(made["wrong"]) == 0
    with torch.no_grad():
        best = objective.model.frame_logits(objective.model.encode(features)).argmax(-1)
    read = [spoken_letters(row.unique_consecutive().tolist()) for row in best]
    assert read == [text.replace(" ", "") for text in TEXTS]


def test_letters_are_read_without_what_is_between_words():
    assert letter_ids("a ball's") == [1, 2, 1, 12, 12, 19]
    assert spoken_letters([BLANK, *letter_ids("red cube"), BLANK]) == "redcube"


def test_the_model_comes_out_of_a_run_as_it_went_in(tmp_path):
    objective = RecogniserObjective(
        SpeechModel(speech_config(width=16, layers=1, near=2, heads=2, hidden=16))
    )
    objective.export(tmp_path)
    again = SpeechModel.from_pretrained(tmp_path)
    assert torch.equal(again.ctc_head.weight, objective.model.ctc_head.weight)
    assert torch.equal(again.near[1].gather.weight, objective.model.near[1].gather.weight)
