import json
import time
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from envs.learned_speed import count_flops, long_rollout
from envs.simulator_speed import PUSH, PUSHER, Simulator, together
from envs.stopwatch import count_for, take_turns
from multimodal.errors import WorldModelError
from worldmodel.cli import main


def test_a_speed_is_units_over_time():
    calls = []

    def work():
        time.sleep(0.01)
        calls.append(1)
        return 4

    started_s = time.perf_counter()
    speed = count_for(0.1, work)
    elapsed_s = time.perf_counter() - started_s
    assert elapsed_s >= 0.1
    assert speed == pytest.approx(4 * len(calls) / elapsed_s, rel=0.1)


def test_work_that_takes_longer_than_the_time_given_is_still_measured():
    def work():
        time.sleep(0.05)
        return 1

    assert 0 < count_for(0.001, work) <= 20


def test_contestants_take_turns_and_the_median_and_best_round_are_kept():
    order = []
    answers = {"a": iter([9, 1, 5, 3]), "b": iter([9, 10, 20, 60])}

    def turn(name, seconds):
        order.append(name)
        return next(answers[name])

    speeds = take_turns({name: partial(turn, name) for name in answers}, 1.0, rounds=3)
    assert order == ["a", "b"] * 4
    assert (speeds["a"].median, speeds["a"].best) == (3, 5)
    assert (speeds["b"].median, speeds["b"].best) == (20, 60)


def test_flops_of_products_convolutions_and_attention_are_counted():
    query, key = torch.ones(2, 4, 16, 32), torch.ones(2, 4, 8, 32)
    work = {
        2 * 4 * 8 * 16: lambda: F.linear(torch.ones(4, 8), torch.ones(16, 8)),
        2 * 4 * 3 * 9 * 36: lambda: F.conv2d(torch.ones(1, 3, 8, 8), torch.ones(4, 3, 3, 3)),
        4 * 2 * 4 * 16 * 8 * 32: lambda: F.scaled_dot_product_attention(query, key, key),
    }
    for expected, function in work.items():
        assert count_flops(function) == expected


@pytest.mark.slow
def test_mujoco_is_measured_in_processes_of_its_own():
    with Simulator(PUSH) as push, Simulator(PUSHER) as pusher:
        assert together([push], 0.2) > together([pusher], 0.2) > 0
        assert together([push, pusher], 0.2) > 0


def test_an_environment_that_cannot_be_made_is_an_error_here_and_not_a_hang():
    with pytest.raises(TypeError, match="no_such_option"):
        Simulator(("worldmodel/Push-v0", {"no_such_option": 1}))


@pytest.mark.slow
def test_a_simulation_that_is_killed_is_an_explained_error_and_not_a_hang():
    with Simulator(PUSH) as push:
        push.start(60.0)
        push._process.kill()
        with pytest.raises(WorldModelError, match="exit code -9"):
            push.result()


@pytest.fixture
def checkpoint(tmp_path, tiny_pipeline):
    tiny_pipeline.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_a_long_rollout_costs_the_same_late_as_early(tiny_pipeline):
    frame = torch.zeros(tiny_pipeline.frame_shape, dtype=torch.uint8).numpy()
    seen = []
    long = long_rollout(tiny_pipeline, frame, 60, progress=seen.append)
    assert seen == list(range(1, 61))
    assert (long.early, long.late) == (30, 60)
    assert 0.5 < long.step_time_ratio < 2
    assert 0.9 < long.rss_ratio < 1.1


@pytest.mark.slow
def test_bench_writes_every_promised_figure(checkpoint, tmp_path, capsys):
    out = tmp_path / "run"
    words = [f"checkpoint={checkpoint}", "seconds=0.5", "batches=[1,4]", "long_steps=40"]
    assert main(["bench", *words, f"out={out}"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    promised = {
        "fps_single", "fps_single_over_pusher", "fps_batched_1", "fps_batched_4", "matmul_share",
        "step_time_ratio", "rss_ratio", "encode_ms", "dynamics_ms", "decode_ms", "push_fps",
        "push_fps_2", "pusher_v5_fps",
    }  # fmt: skip
    assert promised <= set(metrics)
    assert all(metrics[name] > 0 for name in promised)
    assert metrics["matmul_share"] < 1
    ratio = metrics["fps_single"] / metrics["pusher_v5_fps"]
    assert metrics["fps_single_over_pusher"] == pytest.approx(ratio)
    assert json.loads((out / "bench.json").read_text())["metrics"] == metrics
    assert "fps_single" in capsys.readouterr().out


@pytest.mark.parametrize("override", ["seconds=0", "long_steps=-1", "batches=[]", "batches=[0]"])
def test_a_measurement_of_nothing_is_a_config_error(override, capsys):
    assert main(["bench", override]) == 2
    assert "must be positive" in capsys.readouterr().err
