"""What the recogniser learns from, and that it learns."""

import torch

from multimodal.speech.model import BLANK, SpeechModel, speech_config, spoken_words, word_ids
from worldmodel.objectives.recogniser import RecogniserObjective, evenly_said

TEXTS = ["push the red cube", "stop", ""]
SPANS = torch.tensor([[2.0, 38.0], [10.0, 20.0], [0.0, 0.0]])


def test_words_lie_one_after_the_other_in_their_span_and_nothing_elsewhere():
    where = evenly_said(TEXTS, SPANS, 40)
    heard = [row[row != BLANK].unique_consecutive().tolist() for row in where]
    assert [spoken_words(ids) for ids in heard] == TEXTS
    assert (where[1, :10] == BLANK).all()
    assert (where[1, 10:20] == word_ids("stop")[0]).all()
    assert (where[1, 20:] == BLANK).all()


def test_both_heads_learn_a_batch_by_heart_guided_first_and_by_ctc_then():
    torch.manual_seed(0)
    config = speech_config(width=48, layers=1, heads=2, hidden=64, decoder_layers=1)
    objective = RecogniserObjective(SpeechModel(config), guided_steps=40)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=5e-3)
    features = torch.randn(3, 80, 160)
    first = None
    for step in range(1, 121):
        made = objective(features, TEXTS, SPANS)
        first = first or {name: float(each.detach()) for name, each in made.items()}
        made["loss"].backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        objective.after_step(step)
    assert float(made["ctc"]) < 0.1 * first["ctc"]
    assert float(made["wrong"]) == 0
    with torch.no_grad():
        best = objective.model.frame_logits(objective.model.encode(features)).argmax(-1)
    read = [row.unique_consecutive() for row in best]
    assert [spoken_words(row[row != BLANK].tolist()) for row in read] == TEXTS


def test_the_model_comes_out_of_a_run_as_it_went_in(tmp_path):
    objective = RecogniserObjective(
        SpeechModel(speech_config(width=16, layers=1, heads=2, hidden=16))
    )
    objective.export(tmp_path)
    again = SpeechModel.from_pretrained(tmp_path)
    assert torch.equal(again.ctc_head.weight, objective.model.ctc_head.weight)
