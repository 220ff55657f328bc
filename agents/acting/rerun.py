"""`worldmodel agent replay trace=DIR`: take a trace's actions again and compare every frame."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from agents.acting.trace import read_trace, replay
from agents.assembly import make_world
from multimodal.errors import ConfigError, DatasetError
from worldmodel.runs import RunDirectory

__all__ = ["run"]


def run(cfg: DictConfig) -> int:
    """Replay.

    Args:
        cfg: see `configs/agent.yaml`.

    Returns:
        0 when every frame is bit-equal, 1 otherwise.

    Raises:
        ConfigError: no trace is named.
        DatasetError: there is none, or it is damaged.
    """
    if cfg.trace is None:
        raise ConfigError("mode=replay needs trace=DIR, the folder of an episode with trace.jsonl")
    events = read_trace(str(cfg.trace))
    if not events or "world" not in events[0]:
        raise DatasetError(f"The trace in {cfg.trace} lacks its beginning.")
    directory = RunDirectory.open("agent", cfg.out)
    named = {"world": events[0]["world"], "checkpoint": events[0]["checkpoint"]}
    world = make_world(OmegaConf.create(named))
    try:
        replayed = replay(str(cfg.trace), world)
    finally:
        world.close()
    directory.write_metrics(
        {"steps": replayed.steps, "frames_equal": replayed.equal / (replayed.steps + 1)}
    )
    Console(stderr=True).print(
        f"{replayed.steps} actions, {replayed.equal} of {replayed.steps + 1} frames bit-equal",
        markup=False,
    )
    return 0 if replayed.equal == replayed.steps + 1 else 1
