"""`worldmodel train` from a dataset to a model that opens, stage by stage, each of them once."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from envs.gap.probe_files import load_probe
from envs.push import PushWorld
from envs.recording import record_episode, seeds_of
from multimodal.errors import CheckpointError, ConfigError
from multimodal.store import EpisodeStore, StoreSettings
from worldmodel.checkpoint import verify
from worldmodel.cli import composed
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.training.run import run

STAGES = ("tokenizer", "dynamics", "layer_reader", "motion", "probe")
SMALL = [
    "size=tiny",
    "wandb=disabled",
    "compute=cpu/float32",
    "size.tokenizer.width=8",
    "size.dynamics.width=32",
    "size.probe.width=8",
    "size.layer_reader.width=8",
    "size.motion.width=16",
    "size.budget.layer_reader.batch_size=4",
    "size.budget.layer_reader.rendered=8",
    "size.budget.layer_reader.validation=4",
    "size.budget.motion.batch_size=4",
    "size.budget.motion.unroll=[[0,1],[0.5,3]]",
    "size.budget.tokenizer.batch_size=4",
    "size.budget.dynamics.batch_size=2",
    "size.budget.probe.batch_size=4",
    "size.budget.probe.rendered=16",
    "size.budget.probe.validation=8",
    "recipe.stages=[{steps:1,frames:4,unroll:true}]",
    *(f"size.budget.{stage}.steps=2" for stage in STAGES),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three training episodes and one for validation."""
    folder = tmp_path_factory.mktemp("data") / "push-v0"
    world = PushWorld()
    options = json.dumps({"objects": 3})
    recording = {"world": "worldmodel/Push-v0", "size_px": 64, "options": options}
    settings = StoreSettings(action_space=world.action_space, metadata={"recording": recording})
    store = EpisodeStore.create(folder.parent, folder.name, settings)
    seeds = seeds_of("train", 3) + seeds_of("validation", 1)
    store.append(record_episode(world, seed=seed, steps=8) for seed in seeds)
    world.close()
    return folder


def train(data, out, *overrides):
    return run(composed("train", [*SMALL, f"data={data}", f"out={out}", *overrides]))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "world"
    assert train(data, out) == 0
    return out


def test_the_chain_ends_in_a_pipeline_that_opens_and_rolls_out(trained):
    pipeline = WorldModelPipeline.from_pretrained(trained / "pipeline")
    assert pipeline.config.world == "worldmodel/Push-v0"
    assert pipeline.config.world_options == {"objects": 3}
    frames = np.zeros((1, 1, 64, 64, 3), np.uint8)
    rolled = pipeline.rollout(pipeline.reset(frames), np.zeros((1, 3, 2), np.float32))
    assert rolled.frames.shape == (1, 3, 64, 64, 3)


def test_the_probe_lies_beside_the_model(trained):
    assert load_probe(trained / "pipeline").config.width == 8


def test_the_account_says_how_the_model_came_to_be(trained):
    account = json.loads((trained / "pipeline" / "training.json").read_text())
    assert account == json.loads((trained / "training.json").read_text())
    assert account["seed"] == 0
    assert account["dataset"]["episodes"] == 4
    assert account["dataset"]["frames"] == 4 * 9
    assert account["versions"]["torch"]
    assert account["hardware"]["cores"] >= 1
    dynamics = account["stages"]["dynamics"]
    assert (dynamics["steps"], dynamics["samples"]) == (2, 4)
    assert dynamics["seconds"] > 0
    assert dynamics["device"] == "cpu"
    assert "validation_loss" in dynamics["losses"]


def test_the_figures_are_flat_numbers(trained):
    figures = json.loads((trained / "metrics.json").read_text())
    assert figures["tokenizer_steps"] == 2
    assert {"tokenizer_validation_psnr", "dynamics_loss", "train_seconds"} <= figures.keys()


def test_the_figures_say_how_much_faster_the_reader_is_than_the_training(trained):
    figures = json.loads((trained / "metrics.json").read_text())
    lines = (trained / "dynamics" / "history.jsonl").read_text().splitlines()
    fastest = max(json.loads(line)["samples_per_s"] for line in lines)
    assert figures["clips_per_s"] > 0
    ratio = figures["clips_per_s"] / fastest
    assert figures["clips_over_training"] == pytest.approx(ratio)


def written(folder: Path) -> dict[str, int]:
    models = folder.glob("*/model/manifest.json")
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in models}


def test_finished_stages_are_recognised_and_more_steps_go_on(trained, data, tmp_path):
    out = tmp_path / "world"
    shutil.copytree(trained, out)
    before = written(out)
    train(data, out, "size.budget.dynamics.steps=3")
    after = written(out)
    changed = [name for name in before if after[name] != before[name]]
    assert changed == ["dynamics/model/manifest.json"]
    steps = [json.loads(line)["step"] for line in (out / "dynamics/history.jsonl").open()]
    assert steps == [2, 3]
    assert not list(out.glob("*/previous-*"))


def test_another_architecture_is_trained_anew_and_so_is_what_builds_on_it(trained, data, tmp_path):
    out = tmp_path / "world"
    shutil.copytree(trained, out)
    train(data, out, "size.tokenizer.width=16")
    anew = {path.parent.name for path in out.glob("*/previous-1")}
    assert anew == {"tokenizer", "dynamics"}
    assert verify(out / "tokenizer" / "model")["inputs"]["architecture"]["width"] == 16


def test_a_stage_alone_takes_earlier_results_from_another_run(trained, data, tmp_path):
    out = tmp_path / "alone"
    train(data, out, "objective=dynamics", f"from_run={trained}")
    assert verify(out / "dynamics" / "model", "dynamics")["account"]["steps"] == 2


def test_a_stage_without_what_it_builds_on_is_refused(data, tmp_path):
    with pytest.raises(CheckpointError, match="tokenizer/model"):
        train(data, tmp_path / "alone", "objective=dynamics")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective=vocoder"], "not one of: world, .*tokenizer, .*dynamics, .*probe, .*codec"),
        (["resume=runs/one/checkpoints/step-1"], "names one checkpoint"),
        (["from_run=runs/one"], "for a single stage"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(data, tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        train(data, tmp_path / "out", *overrides)


def words(data, out, *overrides):
    """The verb as it is typed, to be run by a launcher from another folder."""
    return ["-m", "worldmodel", "train", *SMALL, f"data={data}", f"out={out}", *overrides]


def account(out):
    return json.loads((out / "training.json").read_text())


@pytest.mark.slow
def test_accelerate_launch_trains_the_chain_on_two_processes(data, trained, tmp_path):
    launch = "-m accelerate.commands.launch --multi_gpu --num_processes=2 --num_machines=1"
    options = "--mixed_precision=no --dynamo_backend=no --main_process_port=0"
    command = [sys.executable, *launch.split(), *options.split(), *words(data, tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    stages = account(tmp_path / "two")["stages"]
    assert {name: stage["processes"] for name, stage in stages.items()} == dict.fromkeys(STAGES, 2)
    # The global batches are those of one process, and the tokeniser draws no noise.
    alone, shared = (
        account(out)["stages"]["tokenizer"]["losses"]["validation_loss"]
        for out in (trained, tmp_path / "two")
    )
    assert shared == pytest.approx(alone, rel=1e-3)
    WorldModelPipeline.from_pretrained(tmp_path / "two" / "pipeline")


@pytest.mark.slow
def test_processes_started_by_mpirun_know_each_other(data, tmp_path):
    """By the names that Open MPI sets, as under `accelerate launch --cpu --mpirun_hostfile`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        master = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    names = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")
    sizes = ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE")
    command = [sys.executable, *words(data, tmp_path / "two", "objective=tokenizer")]
    started = [
        subprocess.Popen(
            command,
            env=os.environ | master | dict.fromkeys(names, str(rank)) | dict.fromkeys(sizes, "2"),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=400)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert account(tmp_path / "two")["stages"]["tokenizer"]["processes"] == 2
    assert sum("training the tokenizer" in text for text in said) == 1
