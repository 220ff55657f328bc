"""`worldmodel demo`: one command from a checkpoint to a report."""

import json
import shlex

import pytest

from envs.demo import peak_memory_gb
from envs.gap.probe import StateProbe
from envs.gap.probe_files import add_probe
from worldmodel.cli import composed, main


@pytest.fixture
def finished(tmp_path, tiny_pipeline, capsys):
    tiny_pipeline.save_pretrained(tmp_path / "model")
    add_probe(StateProbe(width=8).eval(), tmp_path / "model")
    command = f"demo checkpoint={tmp_path / 'model'} episodes=2 horizon=16 videos=1"
    code = main([*command.split(), "baseline_horizon=4", f"out={tmp_path / 'run'}"])
    return code, tmp_path / "run", capsys.readouterr().out


def test_the_demo_writes_a_report_and_names_it(finished):
    code, run, printed = finished
    assert code == 0
    assert (run / "report.html").stat().st_size > 10_000
    assert "report.html" in printed.replace("\n", "")
    assert "pusher_error_m_16" in printed
    metrics = json.loads((run / "metrics.json").read_text())
    assert 0.1 < metrics["rss_peak_gb"] < 4
    assert {"psnr_1", "psnr_16", "psnr_over_frozen_min", "duration_s", "permanence_16"} <= set(
        metrics
    )


def test_the_report_says_what_to_type_to_measure_the_same_again(finished):
    setup = json.loads((finished[1] / "gap.json").read_text())["setup"]
    program, verb, *words = shlex.split(setup["command"])
    again = composed(verb, words)
    assert (program, verb) == ("worldmodel", "demo")
    assert (again.episodes, again.horizon, again.baseline_horizon) == (2, 16, 4)
    assert again.checkpoint == setup["checkpoint"]


def test_memory_is_counted_in_gigabytes():
    before = peak_memory_gb()
    block = bytearray(300_000_000)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_memory_gb() - before > 0
    assert 0.3 < peak_memory_gb() < 64
