"""`worldmodel policy train experiment=...`: record, learn the world, learn in it, and again."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from agents.policy.dreaming import Dream, train_in_imagination
from agents.policy.imagination import Imagination
from agents.policy.improvement import Improver, Settings
from agents.policy.minutes import Minutes
from agents.policy.tasks.collecting import Acting, Exploring, collected, opened_store
from agents.policy.tasks.evaluation import task_figures
from agents.policy.tasks.lanes import CompactBeginnings, CompactLanes
from agents.policy.tasks.policy import TaskPolicy
from agents.policy.tasks.quality import world_figures
from agents.policy.tasks.watching import Watcher
from agents.policy.tasks.world import Learned, learned_trunk, learned_world
from envs.behaviours import Behaviour
from envs.episode_recorder import Recording
from envs.mujoco_world import MujocoWorld
from multimodal.errors import ConfigError
from multimodal.flat import FlatEpisodes
from worldmodel.durable import atomic_directory
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.runs import RunDirectory
from worldmodel.training.record import environment_record, shown_command

__all__ = ["evaluate_task", "recording_of", "train_task"]


def train_task(cfg: DictConfig, run: RunDirectory) -> dict[str, float]:
    """Solve a Gymnasium MuJoCo environment from pixels, and say what that cost.

    Every round records with the policy of the round before (the first one at random), trains the
    world further on all recordings, and the policy further in that world. What is done stays
    done: an interrupted run goes on where it was.

    Args:
        cfg: the composed configuration of `policy`.
        run: where everything is written.

    Returns:
        The figures of `metrics.json`.

    Raises:
        ConfigError: budgets that do not fit together, or rewards that are not finite.
    """
    task = cfg.experiment
    rounds = len(task.frames)
    for key in ("world_steps", "policy_rounds"):
        if len(task[key]) != rounds:
            raise ConfigError(
                f"experiment.{key} has {len(task[key])} numbers and experiment.frames {rounds}; "
                "give one for each round."
            )
    recording = recording_of(cfg)
    world = recording.make_world()
    space = world.action_space
    assert isinstance(space, Box)
    bounds = (space.low.astype(np.float32), space.high.astype(np.float32))
    store = opened_store(recording, run.path, "data")
    minutes = Minutes(run)
    figures: list[dict[str, float]] = []
    acting: tuple[WorldModelPipeline, TaskPolicy] | None = None
    trunk = None
    for number in range(rounds):
        until = int(sum(task.frames[: number + 1]))
        with minutes.during("recording"):
            collected(store, recording, until, _behaviour(bounds, acting))
        flat = FlatEpisodes.open(store)
        if trunk is None:
            with minutes.during("trunk"):
                trunk = learned_trunk(flat, task.trunk, cfg.seed, run.path / "trunk")
        with minutes.during("world"):
            learned = learned_world(
                trunk, flat, recording, bounds, task, number, cfg.seed, run.path
            )
        figures.append(world_figures(learned))
        Console().print(f"round {number}: {_shown(figures[-1])}", highlight=False)
        before = acting[1] if acting else None
        with minutes.during("policy"):
            policy = _improved(cfg, run, learned, before, number)
        acting = (learned.pipeline, policy)
    assert acting is not None
    _keep(acting, run.path)
    result = {**figures[-1], **minutes.figures(), **_imagined(cfg)}
    result["real_frames"] = float(sum(record.steps for record in store.records))
    run.write_json("rounds.json", figures)
    run.write_json("training.json", _record(cfg, minutes))
    return result | task_figures(cfg, run, *acting, recording)


def evaluate_task(cfg: DictConfig, run: RunDirectory) -> dict[str, float]:
    """Judge the policy of a run in MuJoCo again, as `train_task` does at its end.

    Args:
        cfg: the composed configuration of `policy`; `from_run` names the run.
        run: where everything is written.

    Raises:
        ConfigError: no run is named.
        CheckpointError: world or policy are missing or damaged.
    """
    if cfg.from_run is None:
        raise ConfigError(
            "Name the run whose policy shall be judged: from_run=DIR, which holds world/ and "
            "policy/ once `worldmodel policy train experiment=... out=DIR` is done."
        )
    world = WorldModelPipeline.from_pretrained(Path(cfg.from_run) / "world")
    policy = TaskPolicy.from_pretrained(Path(cfg.from_run) / "policy", world)
    return task_figures(cfg, run, world, policy, recording_of(cfg))


def recording_of(cfg: DictConfig) -> Recording:
    """What is recorded for an experiment.

    Raises:
        ConfigError: the episode's length is out of range.
    """
    task = cfg.experiment
    if task.episode_steps < 2:
        raise ConfigError(f"experiment.episode_steps={task.episode_steps}; expected 2 or more.")
    options = OmegaConf.to_container(task.options, resolve=True)
    return Recording(
        world=task.env_id,
        size_px=task.size_px,
        options=json.dumps(options, sort_keys=True),
        steps=task.episode_steps,
        seed=cfg.seed * 1_000_000,
    )


def _behaviour(
    bounds: tuple[NDArray[np.float32], NDArray[np.float32]],
    acting: tuple[WorldModelPipeline, TaskPolicy] | None,
) -> Any:
    def make(world: MujocoWorld, rng: np.random.Generator) -> Behaviour:
        if acting is None:
            return Exploring(*bounds, rng)
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        wild = float(rng.choice([0.0, 0.1, 0.4]))
        return Acting(Watcher(*acting, generator, wild))

    return make


def _improved(
    cfg: DictConfig, run: RunDirectory, learned: Learned, before: TaskPolicy | None, number: int
) -> TaskPolicy:
    """Train the policy of a round in imagination, or take it where that is done."""
    task, target = cfg.experiment, run.path / f"policy-{number}"
    if (target / "manifest.json").is_file():
        return TaskPolicy.from_pretrained(target, learned.pipeline)
    torch.manual_seed(cfg.seed)
    policy = TaskPolicy.of(learned.pipeline, task.policy_width)
    if before is not None:
        policy.load_state_dict(before.state_dict())
    else:
        policy.view.fit(learned.tokens)
    policy.requires_grad_(True)
    wanted = OmegaConf.to_container(task.improvement, resolve=True)
    settings = Settings(**cast(dict[str, Any], wanted))
    prior = None
    if before is not None and settings.prior > 0:
        prior = copy.deepcopy(policy).requires_grad_(False)
    improver = Improver(policy, prior, settings)
    imagination = Imagination(
        CompactLanes(learned.pipeline, policy.view),
        CompactBeginnings(learned.tokens, learned.flat, learned.pipeline.context, task.fresh),
        task.lanes,
        task.longest,
        doubt=task.doubt,
    )
    rounds = int(task.policy_rounds[number])
    dream = Dream(rounds, task.horizon, min(3, rounds - 1), cfg.seed + number, max(1, rounds // 4))

    def report(line: dict[str, float]) -> None:
        run.log({"stage": number, **line})
        if int(line["round"]) % cfg.log_every == 0:
            Console().print(
                f"round {number}, {int(line['round'])}/{rounds}  reward {line['reward']:.3f}  "
                f"entropy {line['entropy']:.2f}  {line['steps_per_s']:,.0f} steps/s",
                highlight=False,
            )

    folder = run.path / f"imagination-{number}"
    train_in_imagination(improver, imagination, dream, folder, report)
    policy.eval().requires_grad_(False)
    with atomic_directory(target) as hidden:
        policy.save_pretrained(hidden)
    return policy


def _keep(acting: tuple[WorldModelPipeline, TaskPolicy], out: Path) -> None:
    """The last world and policy under names without numbers."""
    world, policy = acting
    with atomic_directory(out / "world") as hidden:
        world.save_pretrained(hidden)
    with atomic_directory(out / "policy") as hidden:
        policy.save_pretrained(hidden)


def _imagined(cfg: DictConfig) -> dict[str, float]:
    task = cfg.experiment
    return {"imagined_steps": float(sum(task.policy_rounds) * task.lanes * task.horizon)}


def _shown(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in figures.items())


def _record(cfg: DictConfig, minutes: Minutes) -> dict[str, Any]:
    return {
        "command": shown_command(),
        "seconds": minutes.seconds,
        "config": OmegaConf.to_container(cfg, resolve=True),
        **environment_record(),
    }
