"""What a task's policy is worth in MuJoCo, beside SAC, random actions and none."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console

from agents.policy.tasks.playing import Actor, Random, Starts, Still, returns_of
from agents.policy.tasks.policy import TaskPolicy
from agents.policy.tasks.rival import Budget, rival_figures
from agents.policy.tasks.watching import Watcher
from envs.episode_recorder import Recording
from worldmodel.intervals import ratio_interval
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.runs import RunDirectory

__all__ = ["FIRST_SEED", "task_figures"]

# Far beyond every seed that a recording uses.
FIRST_SEED = 200_000_000


def task_figures(
    cfg: DictConfig,
    run: RunDirectory,
    world: WorldModelPipeline,
    policy: TaskPolicy,
    recording: Recording,
) -> dict[str, float]:
    """Play held-out starts in MuJoCo, and let SAC train for as many real frames and play them too.

    Args:
        cfg: the composed configuration of `policy`.
        run: where returns are written.
        world: the compact world, through which the policy sees.
        policy: to be judged.
        recording: names the environment.

    Returns:
        `NAME_return` with its interval, `NAME_return_random`, `NAME_return_still`, and with a rival
        `NAME_return_sac` and `NAME_over_sac`.

    Raises:
        MissingExtraError: the rival needs Stable-Baselines3.
    """
    task, name = cfg.experiment, cfg.experiment.name
    simulator = recording.make_world()
    seeds = tuple(range(FIRST_SEED, FIRST_SEED + cfg.episodes))
    starts = Starts(seeds, task.evaluation_steps)
    field: dict[str, Actor] = {
        "": Watcher(world, policy),
        "_random": Random(policy.low.numpy(), policy.high.numpy()),
        "_still": Still(policy.low.numpy(), policy.high.numpy()),
    }
    returns = {
        who: returns_of(actor, simulator, starts.seeds, starts.steps)
        for who, actor in field.items()
    }
    figures = {f"{name}_return{who}": float(got.mean()) for who, got in returns.items()}
    figures |= _interval(f"{name}_return", returns[""], cfg.resamples)
    if task.rival:
        options = json.loads(recording.options)
        frames = int(sum(task.frames))
        for seed in range(task.rival_seeds):
            found = rival_figures(
                recording.world,
                options,
                Budget(frames, seed),
                simulator,
                starts,
                run.path / f"sac-{seed}.json",
            )
            returns[f"_sac_{seed}"] = np.array(found["returns"])
            figures[f"sac_minutes_{seed}"] = found["seconds"] / 60
        theirs = np.mean([returns[f"_sac_{seed}"] for seed in range(task.rival_seeds)], 0)
        figures[f"{name}_return_sac"] = float(theirs.mean())
        figures[f"{name}_over_sac"] = float((returns[""] - theirs).mean())
        figures |= _interval(f"{name}_over_sac", returns[""] - theirs, cfg.resamples)
    run.write_json("returns.json", {who or "policy": got.tolist() for who, got in returns.items()})
    shown = ", ".join(f"{key} {value:.2f}" for key, value in figures.items())
    Console().print(shown, highlight=False)
    return figures


def _interval(name: str, values: NDArray[Any], resamples: int) -> dict[str, float]:
    interval = ratio_interval(values, resamples=resamples)
    return {} if interval is None else {f"{name}_low": interval.low, f"{name}_high": interval.high}
