"""Killed at any moment, a run goes on to the same parameters and losses as if it never stopped."""

import json
import multiprocessing
import os
import random
import resource
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from multimodal.errors import CheckpointError, DiskFullError
from tests.worldmodel import toy_training as toy
from worldmodel.checkpoint import newest_complete, verify

# A fork starts with transformers imported already.
_fork = multiprocessing.get_context("fork")
TIMING = {"time_s", "samples_per_s", "data_wait_share"}


def start(target, *arguments, **keywords):
    process = _fork.Process(target=target, args=arguments, kwargs=keywords)
    process.start()
    return process


def finish(process, seconds=300):
    process.join(seconds)
    assert process.exitcode is not None, "the run hangs"
    return process.exitcode


def rows(run):
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in TIMING} for row in lines]


def tensors(checkpoint):
    return {
        f"{path.name}/{name}": tensor
        for path in sorted(checkpoint.glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def assert_same_bits(left, right):
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = tmp_path_factory.mktemp("uninterrupted")
    toy.train(run)
    return run


def kill_while_saving(process, checkpoints):
    """Kill as soon as a save has begun; whether it was in time shows in what it left behind."""
    known = {path.name for path in checkpoints.glob(".*.partial")}
    while process.exitcode is None:
        if {path.name for path in checkpoints.glob(".*.partial")} - known:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.join()
    return any(checkpoints.glob(".*.partial"))


def test_killed_at_random_moments_and_inside_saves_it_ends_with_the_same_bits(
    tmp_path, uninterrupted
):
    moments = random.Random(3)
    kills = kills_inside_a_save = 0
    process = start(toy.train, tmp_path)
    while kills < 8 or not kills_inside_a_save:
        if kills % 2:
            time.sleep(moments.uniform(0.02, 0.25))
            process.kill()
            process.join()
        elif kill_while_saving(process, tmp_path / "checkpoints"):
            kills_inside_a_save += 1
        kills += 1
        assert kills < 40
        process = start(toy.train, tmp_path)
    assert finish(process) == 0
    assert_same_bits(
        tensors(tmp_path / "checkpoints" / "step-00000060"),
        tensors(uninterrupted / "checkpoints" / "step-00000060"),
    )
    assert rows(tmp_path) == rows(uninterrupted)
    assert not list((tmp_path / "checkpoints").glob(".*"))
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_the_history_has_one_line_per_step_in_order(uninterrupted):
    steps = [row["step"] for row in rows(uninterrupted)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 60
    assert [row["step"] for row in rows(uninterrupted) if "validation_loss" in row] == [30, 60]


def test_a_save_between_two_log_lines_does_not_change_the_averages(tmp_path, uninterrupted):
    toy.train(tmp_path, save_every=1000)
    assert rows(tmp_path) == rows(uninterrupted)


def test_sigterm_finishes_the_step_saves_and_interrupts(tmp_path, uninterrupted):
    def until_interrupted():
        # As the command line does, so that the signal ends the process by an exception.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            toy.train(tmp_path, save_every=1000, log_every=1)
        except KeyboardInterrupt:
            os._exit(130)

    process = start(until_interrupted)
    while not (tmp_path / "history.jsonl").exists():
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGTERM)
    assert finish(process) == 130
    saved = newest_complete(tmp_path / "checkpoints")
    assert verify(saved)["step"] == rows(tmp_path)[-1]["step"] < 60
    toy.train(tmp_path, log_every=1)
    assert_same_bits(
        tensors(tmp_path / "checkpoints" / "step-00000060"),
        tensors(uninterrupted / "checkpoints" / "step-00000060"),
    )


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip_a_bit, truncate])
def test_a_damaged_checkpoint_is_passed_over_by_auto_and_refused_by_name(tmp_path, damage, caplog):
    toy.train(tmp_path, steps=14)
    damaged = tmp_path / "checkpoints" / "step-00000014"
    damage(damaged / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"step-00000014/model\.safetensors is|was altered"):
        toy.train(tmp_path, resume=str(damaged), steps=15)
    toy.train(tmp_path, steps=15)
    assert "step-00000014/model.safetensors" in caplog.text
    assert [row["step"] for row in rows(tmp_path)] == [4, 8, 12, 15]


def test_a_run_that_goes_on_from_a_named_checkpoint_leaves_later_ones_behind(tmp_path):
    toy.train(tmp_path, steps=21, keep=3)
    named = tmp_path / "checkpoints" / "step-00000007"
    toy.train(tmp_path, resume=str(named), steps=10, keep=1)
    kept = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert kept == ["step-00000010"]
    aside = sorted(path.name for path in (tmp_path / "previous-1" / "checkpoints").iterdir())
    assert aside == ["step-00000014", "step-00000021"]


def test_a_damaged_checkpoint_does_not_outlive_a_whole_one(tmp_path):
    toy.train(tmp_path, steps=14)
    truncate(tmp_path / "checkpoints" / "step-00000014" / "model.safetensors")
    toy.train(tmp_path, steps=9, keep=1)
    assert newest_complete(tmp_path / "checkpoints").name == "step-00000009"


def test_a_finished_run_is_not_trained_again(tmp_path):
    objective = toy.Regression()
    done = toy.train(tmp_path, objective, steps=8)
    fresh = toy.Regression()
    again = toy.train(tmp_path, fresh, steps=8)
    assert again.checkpoint == done.checkpoint
    assert again.losses["loss"] == done.losses["loss"]
    assert_same_bits(fresh.state_dict(), objective.state_dict())


def test_never_starts_anew_and_keeps_the_earlier_run(tmp_path):
    toy.train(tmp_path, steps=10)
    toy.train(tmp_path, resume="never", steps=4)
    assert newest_complete(tmp_path / "checkpoints").name == "step-00000004"
    assert (tmp_path / "previous-1" / "checkpoints" / "step-00000010").is_dir()
    assert (tmp_path / "previous-1" / "history.jsonl").exists()


def test_a_checkpoint_of_another_architecture_is_named_as_such(tmp_path):
    toy.train(tmp_path, steps=4)
    with pytest.raises(CheckpointError, match="another architecture"):
        toy.train(tmp_path, torch.nn.Linear(2, 2), steps=8)


def test_a_full_disk_leaves_the_last_checkpoint_intact(tmp_path):
    toy.train(tmp_path, steps=7)

    def on_a_full_disk():
        # Larger than the history, smaller than the optimizer's state: the save fails half way.
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, resource.RLIM_INFINITY))
        try:
            toy.train(tmp_path, steps=14)
        except DiskFullError:
            os._exit(28)

    assert finish(start(on_a_full_disk)) == 28
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000007"]
    assert verify(tmp_path / "checkpoints" / "step-00000007", "training")["step"] == 7


def test_a_checkpoint_holds_nothing_but_safetensors_and_json(uninterrupted):
    suffixes = {path.suffix for path in (uninterrupted / "checkpoints").rglob("*.*")}
    assert suffixes == {".safetensors", ".json"}
