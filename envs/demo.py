"""`worldmodel demo`: the shipped model against MuJoCo, with a report to look at, in minutes."""

from __future__ import annotations

import resource
import sys
import time

from omegaconf import DictConfig, OmegaConf

from envs.gap.measure import Plan
from envs.gap.run import Order, carry_out, print_headline
from worldmodel.runs import RunDirectory
from worldmodel.typed_command import typed_command

__all__ = ["peak_memory_gb", "run"]

_HORIZONS = (1, 4, 16, 64, 600)


def run(cfg: DictConfig) -> int:
    """Roll the model out beside MuJoCo on held-out episodes and write report, figures and videos.

    Args:
        cfg: see `configs/demo.yaml`.

    Returns:
        0. Missed targets are reported, they are not an error of the command.
    """
    start = time.perf_counter()
    horizon = int(cfg.horizon)
    options = OmegaConf.to_container(cfg.world.options, resolve=True)
    assert isinstance(options, dict)
    order = Order(
        checkpoint=str(cfg.checkpoint),
        layers=True,
        probe="checkpoint",
        world_id=str(cfg.world.id),
        size_px=int(cfg.world.size_px),
        world_options={str(key): value for key, value in options.items()},
        plan=Plan(
            episodes=int(cfg.episodes),
            horizons=(*(h for h in _HORIZONS if h < horizon), horizon),
            baseline_horizon=int(cfg.baseline_horizon),
            seed=int(cfg.seed),
        ),
        resamples=1000,
        videos=int(cfg.videos),
        command=typed_command("demo", cfg, always=("checkpoint", "episodes", "seed")),
    )
    directory = RunDirectory.open("demo", cfg.out)
    directory.write_config(cfg)
    report, written = carry_out(order, directory)
    seconds = time.perf_counter() - start
    figures = {"rss_peak_gb": peak_memory_gb(), "duration_s": seconds}
    directory.write_metrics(report.metrics() | figures)
    print_headline(report, written)
    return 0


def peak_memory_gb() -> float:
    """The most memory this process has ever had resident, in GB (1e9 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return float(peak if sys.platform == "darwin" else peak * 1024) / 1e9
