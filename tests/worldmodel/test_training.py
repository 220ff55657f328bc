"""The trainer: settings, order of the data, schedule, history, curves, and what it refuses."""

import json
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from multimodal.errors import ConfigError, DatasetError
from tests.worldmodel import toy_training as toy
from worldmodel.runs import RunDirectory
from worldmodel.training import TrainingDivergedError, train_objective
from worldmodel.training.history import truncate_history
from worldmodel.training.sampling import StepBatches, batch_of_step, validation_batches
from worldmodel.training.schedule import learning_rate_factor


def test_unknown_and_impossible_settings_are_refused():
    with pytest.raises(ValidationError, match="learning_rat"):
        toy.settings(learning_rat=1.0)
    with pytest.raises(ValidationError, match="multiple of accumulate"):
        toy.settings(batch_size=8, accumulate=3)
    with pytest.raises(ValidationError, match="steps"):
        toy.settings(steps=0)


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(1, 40),
    share=st.integers(1, 5),
    accumulate=st.integers(1, 3),
    processes=st.integers(1, 4),
    start=st.integers(0, 7),
    seed=st.integers(0, 2**31),
)
def test_batches_depend_on_seed_and_step_alone(samples, share, accumulate, processes, start, seed):
    batch = share * accumulate * processes
    shares = [
        list(StepBatches(samples, batch, seed, start, 8, accumulate, rank, processes))
        for rank in range(processes)
    ]
    for number, step in enumerate(range(start, 8)):
        joined = [
            index
            for micro in range(accumulate)
            for rank in range(processes)
            for index in shares[rank][number * accumulate + micro]
        ]
        assert joined == batch_of_step(step, samples, batch, seed)


def test_every_epoch_sees_every_sample_once_in_another_order():
    drawn = [index for step in range(6) for index in batch_of_step(step, 10, 5, 0)]
    first, second, third = drawn[:10], drawn[10:20], drawn[20:]
    assert sorted(first) == sorted(second) == sorted(third) == list(range(10))
    assert first != second


def test_an_uneven_batch_is_refused():
    with pytest.raises(ConfigError, match="multiple of 4"):
        StepBatches(10, 6, 0, 0, 1, accumulate=2, processes=2)


def test_an_empty_training_set_is_refused():
    with pytest.raises(DatasetError, match="empty"):
        StepBatches(0, 6, 0, 0, 1)


@settings(max_examples=40, deadline=None)
@given(samples=st.integers(0, 60), share=st.integers(1, 5), processes=st.integers(1, 4))
def test_validation_gives_every_process_equally_many_equal_batches(samples, share, processes):
    batches = [
        validation_batches(samples, share * processes, r, processes) for r in range(processes)
    ]
    assert {tuple(map(len, mine)) for mine in batches} == {tuple(map(len, batches[0]))}
    seen = Counter(index for mine in batches for batch in mine for index in batch)
    assert set(seen.values()) <= {1}
    assert len(seen) > samples - processes


@pytest.mark.parametrize("schedule", ["cosine", "wsd", "constant"])
def test_the_learning_rate_warms_up_and_ends_where_it_should(schedule):
    run = toy.settings(steps=100, warmup_steps=10, schedule=schedule, final_fraction=0.1)
    factors = [learning_rate_factor(step, run) for step in range(101)]
    assert factors[:10] == sorted(factors[:10])
    assert 0 < factors[0] < 0.2
    assert max(factors) == factors[10] == 1
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(1.0 if schedule == "constant" else 0.1)


def test_wsd_is_stable_until_it_decays():
    run = toy.settings(steps=100, warmup_steps=10, schedule="wsd", decay_fraction=0.2)
    assert learning_rate_factor(80, run) == 1
    assert learning_rate_factor(81, run) < 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tmp_path_factory.mktemp("trained")
    objective = toy.Regression()
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    result = toy.train(run, objective, steps=40, learning_rate=0.03)
    return run, result, objective, before


def rows(run):
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def test_training_learns_and_says_how_far(trained):
    run, result, objective, _ = trained
    history = rows(run)
    assert history[-1]["validation_loss"] < 0.6 * history[0]["loss"]
    assert result.losses["validation_loss"] == history[-1]["validation_loss"]
    assert (result.steps, result.device, result.precision) == (40, "cpu", "float32")
    assert int(objective.steps_seen) == 40


def test_a_line_of_the_history_says_what_a_reader_asks(trained):
    run, *_ = trained
    line = rows(run)[0]
    assert line.keys() == {
        *("step", "loss", "absolute", "learning_rate", "grad_norm"),
        *("time_s", "samples_per_s", "data_wait_share"),
    }
    assert 0 <= line["data_wait_share"] <= 1


def test_the_curves_are_a_picture(trained):
    run, *_ = trained
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_frozen_weights_stay_and_averaged_weights_follow(trained):
    _, _, objective, before = trained
    after = objective.state_dict()
    assert torch.equal(after["frozen.weight"], before["frozen.weight"])
    assert not torch.equal(after["averaged.weight"], before["averaged.weight"])


def test_the_objective_is_left_as_it_was_found(trained):
    _, _, objective, _ = trained
    assert "forward" not in vars(objective)


class WithoutGradient(nn.Module):
    """One matrix and one vector that the loss does not pull at."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(2, 2))
        self.vector = nn.Parameter(torch.ones(2))

    def forward(self, **_):
        return {"loss": 0 * (self.matrix.sum() + self.vector.sum())}


def test_weight_decay_pulls_at_matrices_only(tmp_path):
    objective = WithoutGradient()
    toy.train(tmp_path, objective, steps=3, weight_decay=0.5)
    assert (objective.matrix < 1).all()
    assert (objective.vector == 1).all()


class Diverging(nn.Module):
    """Its loss is not a number from the fifth step on."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, **_):
        self.count += self.training
        return {"loss": self.weight.sum() / (self.count < 5)}


def test_a_diverged_run_is_stopped_before_it_is_saved(tmp_path):
    with pytest.raises(TrainingDivergedError, match=r"at step 6 .* Lower learning_rate"):
        toy.train(tmp_path, Diverging(), steps=12, save_every=3, log_every=100)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003"]


def test_accumulated_micro_batches_train_like_one_batch(tmp_path):
    whole, parts = (toy.Regression(noise=0.0, dropout=0.0) for _ in range(2))
    toy.train(tmp_path / "whole", whole, steps=10)
    toy.train(tmp_path / "parts", parts, steps=10, accumulate=4)
    # Means over micro-batches round differently in float32.
    assert torch.allclose(whole.net[0].weight, parts.net[0].weight, atol=1e-5)


def test_loading_processes_do_not_change_what_is_learned(tmp_path):
    alone, helped = toy.Regression(), toy.Regression()
    toy.train(tmp_path / "alone", alone, steps=6)
    toy.train(tmp_path / "helped", helped, steps=6, workers=1)
    assert torch.equal(alone.net[0].weight, helped.net[0].weight)


def test_validation_does_not_change_what_is_learned(tmp_path):
    often, never = toy.Regression(), toy.Regression()
    toy.train(tmp_path / "often", often, steps=10, validate_every=3)
    train_objective(
        never,
        toy.Points(50, 0),
        None,
        toy.settings(steps=10),
        tmp_path / "n",
        wandb_mode="disabled",
    )
    assert torch.equal(often.net[0].weight, never.net[0].weight)


def test_a_torn_last_line_and_lines_after_the_step_are_cut_off(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text('{"step": 4}\n{"step": 8}\n{"step": 12}\n{"st')
    truncate_history(RunDirectory(tmp_path), 8)
    assert path.read_text() == '{"step": 4}\n{"step": 8}\n'


@pytest.mark.slow
def test_wandb_offline_keeps_its_files_in_the_run_and_its_id_over_resumes(tmp_path):
    for steps in (4, 8):
        train_objective(
            toy.Regression(),
            toy.Points(50, 0),
            None,
            toy.settings(steps=steps),
            tmp_path,
            wandb_mode="offline",
        )
    identity = (tmp_path / "wandb-id.txt").read_text()
    assert len(list(tmp_path.glob(f"wandb/offline-run-*-{identity}/run-{identity}.wandb"))) == 2
