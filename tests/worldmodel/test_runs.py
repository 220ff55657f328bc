import errno
import json
import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from multimodal.errors import ConfigError, DiskFullError
from worldmodel.runs import RunDirectory


def test_a_run_without_out_gets_a_fresh_folder_named_by_verb_and_time(tmp_path):
    runs = [RunDirectory.open("gap", root=tmp_path) for _ in range(3)]
    assert len({run.path for run in runs}) == 3
    assert all(run.path.parent == tmp_path / "gap" for run in runs)


def test_runs_opened_at_the_same_moment_never_share_a_folder(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: RunDirectory.open("gap", root=tmp_path).path, range(16)))
    assert len(set(opened)) == 16


def test_a_named_folder_is_opened_again_with_what_it_holds(tmp_path):
    RunDirectory.open("train", tmp_path / "a" / "b").log({"step": 1})
    assert RunDirectory.open("train", tmp_path / "a" / "b").history() == [{"step": 1}]


def test_a_file_in_the_place_of_the_folder_is_a_config_error(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ConfigError, match="is a file"):
        RunDirectory.open("train", tmp_path / "taken")


def test_metrics_are_one_flat_object_of_numbers(tmp_path):
    run = RunDirectory(tmp_path)
    run.write_metrics({"psnr_1": np.float32(30.5), "fps_single": torch.tensor(100), "n": 3})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "psnr_1": 30.5,
        "fps_single": 100.0,
        "n": 3.0,
    }
    assert run.read_metrics()["psnr_1"] == 30.5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan")])
def test_metrics_that_are_not_finite_are_refused_by_name_and_leave_the_old_file(tmp_path, value):
    run = RunDirectory(tmp_path)
    run.write_metrics({"psnr_1": 30.0})
    with pytest.raises(ValueError, match="psnr_16 is NaN or infinite"):
        run.write_metrics({"psnr_1": 31.0, "psnr_16": value})
    assert run.read_metrics() == {"psnr_1": 30.0}


def test_json_with_nan_inside_is_refused_and_leaves_no_file_behind(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        RunDirectory(tmp_path).write_json("gap.json", {"a": [float("nan")]})
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_is_written_resolved(tmp_path):
    RunDirectory(tmp_path).write_config(OmegaConf.create({"a": 1, "b": "${a}"}))
    assert OmegaConf.load(tmp_path / "config.yaml") == {"a": 1, "b": 1}


def test_a_diverged_loss_is_logged_as_null_so_that_history_stays_strict_json(tmp_path):
    run = RunDirectory(tmp_path)
    run.log({"step": np.int64(1), "loss": torch.tensor(float("nan")), "stage": "dynamics"})
    assert run.history() == [{"step": 1, "loss": None, "stage": "dynamics"}]


def test_a_line_torn_by_a_killed_process_is_cut_off_before_the_next(tmp_path):
    run = RunDirectory(tmp_path)
    run.log({"step": 1})
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(b'{"step": 2, "lo')
    assert run.history() == [{"step": 1}]
    run.log({"step": 2})
    assert run.history() == [{"step": 1}, {"step": 2}]


def test_a_full_disk_is_a_typed_error_and_leaves_the_old_figures(tmp_path):
    """A limit on the file size makes the kernel refuse the write, as a full disk does."""
    run = RunDirectory(tmp_path)
    run.write_metrics({"psnr_1": 30.0})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        with pytest.raises(DiskFullError, match="no space left"):
            run.write_json("metrics.json", {f"figure_{i}": i for i in range(5000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert run.read_metrics() == {"psnr_1": 30.0}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_under_the_history_is_a_typed_error(tmp_path):
    run = RunDirectory(tmp_path)
    (tmp_path / "history.jsonl").symlink_to("/dev/full")
    with pytest.raises(DiskFullError, match=r"history\.jsonl") as caught:
        run.log({"step": 1})
    assert caught.value.__cause__.errno == errno.ENOSPC


def test_a_process_killed_while_writing_leaves_whole_figures(tmp_path):
    program = (
        "import sys; from worldmodel.runs import RunDirectory\n"
        "run = RunDirectory(sys.argv[1]); step = 0\n"
        "while True:\n"
        "    step += 1\n"
        "    run.write_json('metrics.json', {'first': step, 'pad': 'x' * 200000, 'last': step})\n"
        "    if step == 3: print('ready', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.kill()
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["first"] == written["last"] >= 3
