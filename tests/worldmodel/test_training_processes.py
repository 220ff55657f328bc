"""Several processes train what one process trains."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("toy_training.py")
_spec = importlib.util.spec_from_file_location("toy_training", SCRIPT)
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

# The mean over two half batches and the mean over the whole batch round differently in float32.
TOLERANCE = 1e-5


def torchrun(run, environment=None):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    process = subprocess.Popen(
        [*command, str(SCRIPT), str(run)],
        env={**os.environ, "PYTHONPATH": str(root), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=240)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output[-4000:]


def losses(run):
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [[row["step"], row["loss"], row.get("validation_loss", 0.0)] for row in lines]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    run = tmp_path_factory.mktemp("one")
    toy.train(run, toy.Regression(noise=0.0, dropout=0.0), steps=20, accumulate=2)
    return run


@pytest.mark.slow
def test_two_gloo_processes_train_as_one_with_the_same_global_batch(tmp_path, one_process):
    torchrun(tmp_path)
    assert torch.allclose(
        torch.tensor(losses(tmp_path)), torch.tensor(losses(one_process)), atol=TOLERANCE
    )
    digests = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_sharded_by_fsdp_two_processes_train_as_one_and_one_goes_on(tmp_path, one_process):
    fsdp = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
    torchrun(tmp_path, {**fsdp, "FSDP_RESHARD_AFTER_FORWARD": "true"})
    assert torch.allclose(
        torch.tensor(losses(tmp_path)), torch.tensor(losses(one_process)), atol=TOLERANCE
    )
    last = "checkpoints/step-00000020"
    ours, theirs = (
        load_file(run / last / "model.safetensors") for run in (tmp_path, one_process)
    )
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.allclose(tensor, theirs[name], atol=1e-4), name
    result = toy.train(tmp_path, toy.Regression(noise=0.0, dropout=0.0), steps=24)
    assert result.steps == 24
