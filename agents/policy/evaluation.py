"""`worldmodel policy evaluate`: what training in the model was worth in MuJoCo."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console

from agents.policy.belief import mean_rank_violation, optimism_bias, pearson
from agents.policy.crew import Crew, hired
from agents.policy.duel import duel_figures
from agents.policy.field_of_policies import CLONED, TRAINED, chosen, field_of
from agents.policy.pictures import draw_ranking
from agents.policy.policy import Policy
from agents.policy.rivals import require_rivals, rival_figures
from agents.policy.round_judge import TRIAL_SEED
from agents.policy.starts import Start
from agents.policy.throughput import throughput_figures
from agents.policy.trials import Outcomes, Trial, play_model, unsolved_starts
from agents.policy.truth_jobs import Stage, TruthJob, forget, play
from agents.policy.worlds import judged_in, lanes_of, world_checkpoint
from envs.mujoco_world import MujocoWorld
from envs.twin import simulator_of
from multimodal.errors import ConfigError
from multimodal.splits import seeds_of
from worldmodel.checkpoint import resolve
from worldmodel.device import choose_compute
from worldmodel.intervals import ratio_interval
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.runs import RunDirectory
from worldmodel.training.record import environment_record, shown_command

__all__ = ["ENOUGH", "Judged", "evaluate"]

# How far beyond the first starts those of the duel begin.
_DUEL = 50_000_000
# Below these recordings have their seeds; those of `rounds` begin at `TRIAL_SEED`, and the last
# starts of the duel shall still lie before them.
_UNRECORDED = 100_000_000
_TAKEN = TRIAL_SEED - _DUEL - 10_000_000
ENOUGH = 12
"""Policies from which on their ranking says something."""


@dataclass(frozen=True)
class Judged:
    """One policy from the same starts in MuJoCo and in the model.

    Attributes:
        name: of the policy.
        truth: its trials in MuJoCo, all seeds one after the other.
        model: the same trials in the model.
    """

    name: str
    truth: Outcomes
    model: Outcomes


def evaluate(cfg: DictConfig, run: RunDirectory) -> dict[str, float]:
    """Judge a policy and a field of others around it, from the same starts in both worlds.

    Args:
        cfg: the composed configuration of `policy`.
        run: where report, plot and figures are written.

    Returns:
        The figures of `metrics.json`.

    Raises:
        CheckpointError: a policy or model is missing, damaged, or reads another encoder's latents.
        ActionError: the policy's actions are not the world's.
        ConfigError: values out of range.
    """
    _require_sense(cfg)
    pipeline = WorldModelPipeline.from_pretrained(world_checkpoint(cfg))
    pipeline.to(choose_compute().device)
    policy = Policy.from_pretrained(cfg.policy, pipeline).to(pipeline.device)
    policy.require_actions(pipeline.action_low, pipeline.action_high)
    source = Path(cfg.from_run) if cfg.from_run else None
    field = chosen(field_of(policy, source, pipeline), list(cfg.only))
    lanes = lanes_of(pipeline, policy)
    options = judged_in(cfg, pipeline)
    stage = _stage(cfg, options)
    world = simulator_of(pipeline, options)
    judged: list[Judged] = []
    duel: dict[str, float] = {}
    try:
        rounds = _rounds(cfg, world)
        # All seeds at once: the model's cost hardly grows with the number of lanes.
        together = [trial for trials in rounds for trial in trials]
        forget()
        with hired(cfg.workers) as crew:
            truths = crew.begin(play, _jobs(stage, field, rounds))
            for number, (name, actor) in enumerate(field.items()):
                begun = time.perf_counter()
                model = play_model(actor, policy.view, lanes, together, cfg.steps)
                mine = truths[number * len(rounds) : (number + 1) * len(rounds)]
                truth = Outcomes.joined([result() for result in mine])
                judged.append(Judged(name, truth, model))
                line = _line(judged[-1], time.perf_counter() - begun)
                Console().print(line, highlight=False)
            if cfg.duel > 0 and CLONED in field:
                duel = _duel(cfg, stage, crew, world, judged)
    except KeyboardInterrupt:
        # What was measured so far stays, said to be of so many policies.
        if judged:
            run.write_metrics(_written(judged, cfg, run))
        raise
    finally:
        world.close()
    figures = _written(judged, cfg, run) | duel
    figures |= _rivals(cfg, together, figures, options)
    if cfg.bench_seconds > 0:
        first = rounds[0][0]
        start = Start(torch.from_numpy(first.frame)[None, None], torch.from_numpy(first.goal)[None])
        figures |= throughput_figures(policy, lanes, start, cfg.bench_seconds)
    return figures


def _require_sense(cfg: DictConfig) -> None:
    for key in ("episodes", "seeds", "steps"):
        if cfg[key] < 1:
            raise ConfigError(f"{key}={cfg[key]}; expected 1 or more.")
    if not _UNRECORDED <= cfg.starts_from < _TAKEN:
        raise ConfigError(
            f"starts_from={cfg.starts_from}; expected {_UNRECORDED} to {_TAKEN - 1}: others may "
            "have been recorded, or belong to training in rounds."
        )
    require_rivals(cfg.rivals)
    known = _of_training(cfg) if cfg.rivals else {}
    missing = [name for name in ("recorded_frames", "train_cpu_minutes") if name not in known]
    if cfg.rivals and missing:
        raise ConfigError(
            f"rivals need {', '.join(missing)} of the policy's training: name its run with "
            "from_run=DIR, or leave them out with rivals=[]."
        )


def _written(judged: list[Judged], cfg: DictConfig, run: RunDirectory) -> dict[str, float]:
    """Write report and picture; gives the figures."""
    figures, table = _figures(judged, cfg.resamples)
    run.write_json(
        "report.json",
        {
            "command": shown_command(),
            "policies": table,
            "trials": {item.name: _trials(item) for item in judged},
            **environment_record(),
        },
    )
    draw_ranking(table, run.path / "ranking.png")
    return figures | _of_training(cfg)


def _rounds(cfg: DictConfig, world: MujocoWorld) -> list[list[Trial]]:
    """For each seed its own starts, solved ones left out."""
    rounds, first = [], int(cfg.starts_from)
    for _ in range(cfg.seeds):
        seeds = seeds_of("test", cfg.episodes, first)
        rounds.append(unsolved_starts(world, seeds))
        first = max(seeds) + 1
    return rounds


def _stage(cfg: DictConfig, options: Mapping[str, Any]) -> Stage:
    """What all trials in MuJoCo share."""
    # Workers may stand in another folder.
    checkpoint, policy = (str(resolve(name)) for name in (world_checkpoint(cfg), cfg.policy))
    source = str(Path(cfg.from_run).resolve()) if cfg.from_run else None
    return Stage(checkpoint, policy, source, cfg.steps, json.dumps(options))


def _jobs(stage: Stage, names: Iterable[str], rounds: list[list[Trial]]) -> list[TruthJob]:
    """Each policy's trials in MuJoCo, one job for each seed."""
    return [
        TruthJob(stage, name, seed, tuple(trials))
        for name in names
        for seed, trials in enumerate(rounds)
    ]


def _duel(
    cfg: DictConfig, stage: Stage, crew: Crew, world: MujocoWorld, judged: list[Judged]
) -> dict[str, float]:
    """The policy and its clone over further starts, beside those that all have played."""
    seeds = seeds_of("test", cfg.duel, int(cfg.starts_from) + _DUEL)
    trials = unsolved_starts(world, seeds)
    names = (TRAINED, CLONED)
    parts = [trials[first : first + cfg.episodes] for first in range(0, len(trials), cfg.episodes)]
    results = crew.begin(play, _jobs(stage, names, parts))
    by_name = {item.name: item.truth for item in judged}
    played = {
        name: Outcomes.joined(
            [by_name[name], *(result() for result in results[k * len(parts) :][: len(parts)])]
        )
        for k, name in enumerate(names)
    }
    return duel_figures(played[TRAINED], played[CLONED], cfg.resamples)


def _rivals(
    cfg: DictConfig, trials: list[Trial], figures: dict[str, float], options: Mapping[str, Any]
) -> dict[str, float]:
    """PPO and SAC in MuJoCo, at as many frames and as much of one core's time as the policy had."""
    if not cfg.rivals:
        return {}
    return rival_figures(
        list(cfg.rivals),
        trials,
        cfg.steps,
        int(figures["recorded_frames"]),
        figures["train_cpu_minutes"],
        cfg.rival_minutes,
        options,
    )


def _line(item: Judged, seconds: float) -> str:
    return (
        f"{item.name:<24} success {item.truth.success.mean():.2f} in MuJoCo, "
        f"{item.model.success.mean():.2f} in the model; gain {item.truth.gain.mean():.1f} and "
        f"{item.model.gain.mean():.1f}  ({seconds:.0f} s)"
    )


def _trials(item: Judged) -> dict[str, Any]:
    return {
        side: {name: array.tolist() for name, array in asdict(outcomes).items()}
        for side, outcomes in (("mujoco", item.truth), ("model", item.model))
    }


def _figures(judged: list[Judged], resamples: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
    by_name = {item.name: item for item in judged}
    table = [_row(item, resamples) for item in judged]
    trained = by_name[TRAINED]
    figures: dict[str, float | None] = {}
    for name, value in _with_interval(trained.truth.success, resamples).items():
        figures[f"success_mujoco{name}"] = value
    figures["success_model"] = float(trained.model.success.mean())
    figures["transfer_ratio"] = _ratio(trained.truth.success, trained.model.success)
    figures["exploitation_ratio"] = _ratio(trained.model.gain, trained.truth.gain)
    figures["return_gap"] = float((trained.model.gain - trained.truth.gain).mean())
    for baseline in {"random", "still", "scripted"} & by_name.keys():
        figures[f"success_{baseline}"] = float(by_name[baseline].truth.success.mean())
    if CLONED in by_name:
        cloned = by_name[CLONED].truth.success
        figures["success_cloning"] = float(cloned.mean())
        gain = trained.truth.success.astype(float) - cloned
        for name, value in _with_interval(gain, resamples).items():
            figures[f"success_over_cloning{name}"] = value
    sides = {
        "rank": [(j.model.success.mean(), j.truth.success.mean()) for j in judged],
        "return_rank": [(j.model.gain.mean(), j.truth.gain.mean()) for j in judged],
    }
    for prefix, pairs in sides.items() if len(judged) >= ENOUGH else ():
        model, truth = (np.array(side, float) for side in zip(*pairs, strict=True))
        figures[f"{prefix}_pearson"] = pearson(model=model, truth=truth)
        figures[f"{prefix}_mmrv"] = mean_rank_violation(model=model, truth=truth)
    figures["optimism_bias"] = optimism_bias(
        model=np.concatenate([j.model.success for j in judged]),
        truth=np.concatenate([j.truth.success for j in judged]),
    )
    seeds = {"trials": len(trained.truth.success), "policies": len(judged)}
    return {k: v for k, v in (figures | seeds).items() if v is not None}, table


def _row(item: Judged, resamples: int) -> dict[str, Any]:
    row: dict[str, Any] = {"name": item.name}
    for side, outcomes in (("mujoco", item.truth), ("model", item.model)):
        for end, value in _with_interval(outcomes.success, resamples).items():
            row[f"success_{side}{end}"] = value
        for end, value in _with_interval(outcomes.gain, resamples).items():
            row[f"gain_{side}{end}"] = value
    return row


def _with_interval(values: NDArray[Any], resamples: int) -> dict[str, float]:
    interval = ratio_interval(values, resamples=resamples)
    if interval is None:
        return {}
    return {"": interval.value, "_low": interval.low, "_high": interval.high}


def _ratio(top: NDArray[Any], bottom: NDArray[Any]) -> float | None:
    """Ratio of means, None where the lower one is not positive."""
    return float(top.mean() / bottom.mean()) if bottom.mean() > 0 else None


def _of_training(cfg: DictConfig) -> dict[str, float]:
    """What the training run says about itself, or who packed its policy."""
    told: dict[str, float] = {}
    if cfg.from_run:
        if (source := Path(cfg.from_run)).is_dir():
            told = RunDirectory(source).read_metrics()
    elif (scores := resolve(cfg.policy) / "scores.json").is_file():
        told = json.loads(scores.read_text())
    kept = ("train_minutes", "train_cpu_minutes", "recorded_frames", "imagined_steps")
    return {name: told[name] for name in kept if name in told}
