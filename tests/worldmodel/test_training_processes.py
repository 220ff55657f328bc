"""Several processes train what one process trains."""

import json
import os
import signal

import pytest
import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tests.worldmodel import toy_training as toy
from worldmodel.training.processes import joined_processes

# The mean over two half batches and the mean over the whole batch round differently in float32.
TOLERANCE = 1e-5


class Stopped(toy.Regression):
    """The second process is told to end in the middle of the training."""

    def after_step(self, step):
        if step == 3 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)


def train_until_stopped(run):
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        toy.train(run, Stopped(), steps=50)
    except KeyboardInterrupt:
        return "interrupted"
    return "finished"


def torchrun(function, run):
    """What the command torchrun runs, but forked, so that nothing is imported anew."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=run.name,
        start_method="fork",
        monitor_interval=0.05,
    )
    return elastic_launch(config, function)(run)


def losses(run):
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [[row["step"], row["loss"], row.get("validation_loss", 0.0)] for row in lines]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    run = tmp_path_factory.mktemp("one")
    toy.train_and_digest(run)
    return run


@pytest.mark.slow
def test_two_gloo_processes_train_as_one_with_the_same_global_batch(tmp_path, one_process):
    digests = torchrun(toy.train_and_digest, tmp_path)
    assert torch.allclose(
        torch.tensor(losses(tmp_path)), torch.tensor(losses(one_process)), atol=TOLERANCE
    )
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_after_the_same_step_with_a_checkpoint(tmp_path):
    assert torchrun(train_until_stopped, tmp_path) == {0: "interrupted", 1: "interrupted"}
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003"]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_process_that_accelerate_started_alone_is_warned_of(processes, monkeypatch, caplog):
    # What `accelerate launch --cpu --num_processes` sets for one process and for two.
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    if processes == "2":
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", "29500")
    with joined_processes(torch.device("cpu")):
        assert ("--multi_gpu" in caplog.text) == (processes == "2")
