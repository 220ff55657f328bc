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

from agents.policy.collecting import Acts, Amount, collected, opened_store
from agents.policy.dreaming import Dream, train_in_imagination
from agents.policy.imagination import Imagination
from agents.policy.improvement import Improver, Settings
from agents.policy.made_with import note_settings, require_same
from agents.policy.minutes import Minutes
from agents.policy.tasks.behaviours import Acting, Exploring
from agents.policy.tasks.evaluation import FIRST_SEED, task_figures
from agents.policy.tasks.lanes import CompactBeginnings, CompactLanes
from agents.policy.tasks.parts import parts_of
from agents.policy.tasks.policy import TaskPolicy
from agents.policy.tasks.quality import world_figures
from agents.policy.tasks.watching import Watcher
from agents.policy.tasks.world import Learned, learned_trunk, learned_world
from envs.behaviours import Behaviour
from envs.episode_recorder import Recording
from envs.mujoco_world import MujocoWorld
from multimodal.errors import ConfigError
from multimodal.flat import FlatEpisodes
from worldmodel.checkpoint import MANIFEST
from worldmodel.durable import atomic_directory
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.readers import trunk_folder
from worldmodel.runs import RunDirectory
from worldmodel.training.record import environment_record, shown_command

__all__ = ["evaluate_task", "recording_of", "train_task"]

_FIGURES = "rounds.json"
# Episodes of a seed begin so many seeds after those of the one before.
_EPISODES = 1_000_000


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
        ConfigError: budgets that do not fit together, rewards that are not finite, or a run that
            was begun with other settings.
    """
    task = cfg.experiment
    parts = parts_of(cfg)
    for part, settings in parts.items():
        require_same(run, part, settings)
    # What is misnamed shall be said before anything is recorded.
    trunk_folder(task.trunk.initial)
    recording = recording_of(cfg)
    space = recording.make_world().action_space
    assert isinstance(space, Box)
    bounds = (space.low.astype(np.float32), space.high.astype(np.float32))
    told = (
        f"Episodes of {recording.world}, seen from a fixed camera, with state: random at first, "
        "then by policies trained on what came before."
    )
    store = opened_store(recording, run.path / "data", told)
    minutes = Minutes(run)
    figures = _figures_so_far(run)
    acting: tuple[WorldModelPipeline, TaskPolicy] | None = None
    trunk = None
    for number in range(len(task.frames)):
        if _is_done(run, figures, number):
            acting = _opened_round(run, number)
            continue
        for part in ("trunk", f"world-{number}"):
            note_settings(run, part, parts[part])
        amount = Amount(steps=int(sum(task.frames[: number + 1])))
        with minutes.during("recording"):
            collected(store, recording, amount, _acts(bounds, acting))
        flat = FlatEpisodes.open(store)
        if trunk is None:
            with minutes.during("trunk"):
                trunk = learned_trunk(flat, task.trunk, cfg.seed, run.path / "trunk")
        with minutes.during("world"):
            given = (trunk, flat, recording, bounds, task, number, cfg.seed, run.path)
            learned = learned_world(*given)
        figures[number:] = [world_figures(learned)]
        Console().print(f"round {number}: {_shown(figures[-1])}", highlight=False)
        note_settings(run, f"policy-{number}", parts[f"policy-{number}"])
        with minutes.during("policy"):
            policy = _improved(cfg, run, learned, acting[1] if acting else None, number)
        run.write_json(_FIGURES, figures)
        acting = (learned.pipeline, policy)
    assert acting is not None
    _keep(acting, run.path)
    # Of the rounds that were asked for: the run may have more.
    result = {**figures[len(task.frames) - 1], **minutes.figures(), **_imagined(cfg)}
    result["real_frames"] = float(sum(task.frames))
    run.write_json("training.json", _record(cfg, minutes))
    return result | task_figures(cfg, run, *acting, recording)


def _figures_so_far(run: RunDirectory) -> list[dict[str, float]]:
    """Of the rounds that are done."""
    path = run.path / _FIGURES
    figures: list[dict[str, float]] = json.loads(path.read_text()) if path.is_file() else []
    return figures


def _is_done(run: RunDirectory, figures: list[dict[str, float]], number: int) -> bool:
    parts = (run.path / f"world-{number}", run.path / f"policy-{number}")
    return number < len(figures) and all((part / MANIFEST).is_file() for part in parts)


def _opened_round(run: RunDirectory, number: int) -> tuple[WorldModelPipeline, TaskPolicy]:
    """World and policy of a round that is done."""
    world = WorldModelPipeline.from_pretrained(run.path / f"world-{number}")
    return world, TaskPolicy.from_pretrained(run.path / f"policy-{number}", world)


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
        ConfigError: the episode's length or the seed is out of range.
    """
    task = cfg.experiment
    if not 0 <= cfg.seed < FIRST_SEED // _EPISODES:
        raise ConfigError(
            f"seed={cfg.seed}; expected 0 to {FIRST_SEED // _EPISODES - 1}: others would record "
            "the starts that policies are judged on."
        )
    if task.episode_steps < 2:
        raise ConfigError(f"experiment.episode_steps={task.episode_steps}; expected 2 or more.")
    options = OmegaConf.to_container(task.options, resolve=True)
    return Recording(
        world=task.env_id,
        size_px=task.size_px,
        options=json.dumps(options, sort_keys=True),
        steps=task.episode_steps,
        seed=cfg.seed * _EPISODES,
    )


def _acts(
    bounds: tuple[NDArray[np.float32], NDArray[np.float32]],
    acting: tuple[WorldModelPipeline, TaskPolicy] | None,
) -> Acts:
    def make(world: MujocoWorld, seed: int) -> Behaviour:
        rng = np.random.default_rng([seed, 1])
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
    if (target / MANIFEST).is_file():
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
    dream = Dream(
        rounds,
        task.horizon,
        warmup=min(3, rounds - 1),
        seed=cfg.seed + number,
        save_every=max(1, rounds // 4),
        final_rate=task.final_rate,
    )

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
