"""`worldmodel bench`: speed and memory of a learned world beside MuJoCo rendering, in one run."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from envs.learned_speed import (
    LearnedWorld,
    LongRollout,
    dynamics_turns,
    flops_per_step,
    long_rollout,
    stage_work,
)
from envs.simulator_speed import PUSH, PUSHER, Simulator, together
from envs.stopwatch import Speed, count_for, take_turns
from multimodal.errors import ConfigError
from worldmodel.device import choose_compute, measure_matmul_gflops
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.runs import RunDirectory

__all__ = ["TARGETS", "run"]

# name: (least, most), None where there is no bound; two CPU cores, 64 px.
TARGETS: dict[str, tuple[float | None, float | None]] = {
    "fps_single": (100, None),
    "fps_single_over_pusher": (2.5, None),
    "fps_batched_16": (400, None),
    "matmul_share": (0.4, None),
    "step_time_ratio": (0.95, 1.05),
    "rss_ratio": (None, 1.01),
    "push_fps_2": (1000, None),
}

_PARTS = ("encode", "dynamics", "decode", "layers")
MEANINGS: dict[str, str] = {
    "fps_single": "steps/s of one learned environment, decoded frames",
    "fps_single_over_pusher": "fps_single over pusher_v5_fps",
    "push_fps": "Push-v0, MuJoCo step and frame, one process",
    "push_fps_2": "the same in two processes together",
    "pusher_v5_fps": "Pusher-v5, step and rgb_array render at 64 px",
    "encode_ms": "tokeniser encoder, one frame",
    "dynamics_ms": "dynamics and heads, one step",
    "decode_ms": "tokeniser decoder, one frame",
    "matmul_peak_gflops": "peak of matrix products in the format of the model",
    "layers_ms": "carrying the layers, one step, instead of dynamics and decoder",
    "matmul_share": "share of that peak in batched stepping of the dynamics",
    "step_time_ratio": "time of the late step over step 100",
    "rss_ratio": "resident memory at the late step over step 100",
}


def run(cfg: DictConfig) -> int:
    """Measure, print a table, and write `bench.json` and `metrics.json`.

    Args:
        cfg: the configuration `bench`.

    Returns:
        0: a missed target is shown, not failed on.

    Raises:
        ConfigError: a time, a number of steps or of environments that is not positive.
        CheckpointError: the checkpoint is missing or damaged.
        RenderingError: no offscreen OpenGL.
    """
    _check(cfg)
    directory = RunDirectory.open("bench", cfg.out)
    directory.write_config(cfg)
    batches = [int(lanes) for lanes in cfg.batches]
    pipeline = WorldModelPipeline.from_pretrained(cfg.checkpoint)
    with ExitStack() as stack:
        world = LearnedWorld(cfg.checkpoint, batches, cfg.seed)
        stack.callback(world.close)
        frame = world.first_frame
        # Before anything else runs, so that the memory measured is the rollout's own.
        long = _long_rollout(pipeline, frame, cfg)
        turns: dict[str, Callable[[float], float]] = {
            **world.turns(),
            **dynamics_turns(pipeline, frame, batches),
            **_simulator_turns(stack),
            "matmul": partial(_matmul_flops_per_s, choose_compute().device, pipeline.dtype),
            **{
                name: partial(count_for, work=work)
                for name, work in stage_work(pipeline, frame).items()
            },
        }
        with Console().status("measuring speeds"):
            speeds = take_turns(turns, cfg.seconds)
        plain = pipeline.without_layers()
        flops = {lanes: flops_per_step(plain, frame, lanes) for lanes in batches}
    metrics = _metrics(speeds, flops, long)
    report = _report(cfg, metrics, speeds, flops, long)
    directory.write_json("bench.json", {**report, "format": str(pipeline.dtype)})
    directory.write_metrics(metrics)
    _print(metrics, directory)
    return 0


def _long_rollout(
    pipeline: WorldModelPipeline, frame: NDArray[np.uint8], cfg: DictConfig
) -> LongRollout:
    with Progress(transient=True) as progress:
        task = progress.add_task("long rollout", total=cfg.long_steps)

        def show(step: int) -> None:
            if step % 100 == 0:
                progress.update(task, completed=step)

        return long_rollout(pipeline, frame, cfg.long_steps, cfg.seed, show)


def _simulator_turns(stack: ExitStack) -> dict[str, Callable[[float], float]]:
    """MuJoCo, in processes that end with the stack."""
    push = [stack.enter_context(Simulator(PUSH, seed)) for seed in (0, 1)]
    pusher = stack.enter_context(Simulator(PUSHER))
    return {
        "push_fps": partial(together, push[:1]),
        "push_fps_2": partial(together, push),
        "pusher_v5_fps": partial(together, [pusher]),
    }


def _check(cfg: DictConfig) -> None:
    wrong = [
        name
        for name, value in (("seconds", cfg.seconds), ("long_steps", cfg.long_steps))
        if value <= 0
    ]
    if not cfg.batches or min(cfg.batches) < 1:
        wrong.append("batches")
    if wrong:
        raise ConfigError(f"{', '.join(f'{name}={cfg[name]}' for name in wrong)} must be positive")


def _matmul_flops_per_s(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """The peak in the format that the model's own products have: what it could reach."""
    side = 1024 if device.type == "cpu" else 8192
    return 1e9 * measure_matmul_gflops(device, dtype, side, seconds)


def _metrics(
    speeds: Mapping[str, Speed], flops: Mapping[int, int], long: LongRollout
) -> dict[str, float]:
    """Turn what was measured into the named figures."""
    stages_ms = {f"{name}_ms": 1e3 / speeds[name].median for name in _PARTS if name in speeds}
    figures = {
        name: speed.median
        for name, speed in speeds.items()
        if name.startswith(("fps_", "push", "dynamics_batched"))
    }
    # Peak against peak: the fastest round of stepping over the fastest round of multiplying.
    shares = {
        lanes: speeds[f"dynamics_batched_{lanes}"].best / lanes * count / speeds["matmul"].best
        for lanes, count in flops.items()
    }
    return {
        **figures,
        "fps_single_over_pusher": speeds["fps_single"].median / speeds["pusher_v5_fps"].median,
        **stages_ms,
        "matmul_peak_gflops": speeds["matmul"].best / 1e9,
        "matmul_share": max(shares.values()),
        **{f"matmul_share_{lanes}": share for lanes, share in shares.items()},
        "step_time_ratio": long.step_time_ratio,
        "rss_ratio": long.rss_ratio,
    }


def _report(
    cfg: DictConfig,
    metrics: Mapping[str, float],
    speeds: Mapping[str, Speed],
    flops: Mapping[int, int],
    long: LongRollout,
) -> dict[str, Any]:
    return {
        "checkpoint": cfg.checkpoint,
        "compute": choose_compute().reason,
        "threads": torch.get_num_threads(),
        "metrics": dict(metrics),
        "targets": TARGETS,
        "meanings": MEANINGS,
        "speeds": {name: vars(speed) for name, speed in speeds.items()},
        "flops_per_step": flops,
        "long_rollout": vars(long),
    }


def _print(metrics: Mapping[str, float], directory: RunDirectory) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("target", justify="right")
    table.add_column("", overflow="fold")
    for name, value in metrics.items():
        least, most = TARGETS.get(name, (None, None))
        met = (least is None or value >= least) and (most is None or value <= most)
        style = "" if name not in TARGETS else "green" if met else "red"
        table.add_row(
            name,
            f"{value:,.3g}" if value < 100 else f"{value:,.0f}",
            _bounds(least, most),
            MEANINGS.get(name, ""),
            style=style,
        )
    console = Console()
    console.print(table)
    console.print(f"written to {directory.path}", highlight=False)


def _bounds(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"{least:g}–{most:g}"
    if least is not None:
        return f"≥ {least:g}"
    return f"≤ {most:g}" if most is not None else ""
