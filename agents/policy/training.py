"""`worldmodel policy train`: eyes and a clone from recordings, then improvement in imagination."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from torch import Tensor

from agents.policy.beginnings import Beginnings, FreshBeginnings, ReadBeginnings
from agents.policy.dreaming import Dream, train_in_imagination
from agents.policy.eyes import PushEyes
from agents.policy.imagination import Imagination
from agents.policy.improvement import Improver, Settings
from agents.policy.lanes import Lanes
from agents.policy.layer_eyes import LayerEyes
from agents.policy.layer_objective import LayerSightObjective, look_at
from agents.policy.made_with import note_settings, require_same, training_parts
from agents.policy.minutes import Minutes
from agents.policy.policy import Policy
from agents.policy.pose_lanes import PoseLanes, PoseState
from agents.policy.preparation import (
    all_seen,
    begun,
    cloned,
    latent_sets,
    layer_sets,
    new_policy,
    opened_data,
    train_settings,
    with_eyes,
)
from agents.policy.round_judge import RoundJudge, round_trials
from agents.policy.rounds import again_learned, anew_learned, collected_round, motion_of
from agents.policy.sight_objective import SightObjective, true_sight
from agents.policy.starts import PushStarts
from agents.policy.worlds import lanes_of, world_checkpoint
from multimodal.errors import ConfigError
from multimodal.flat import FlatEpisodes
from multimodal.trunk import weights_fingerprint
from worldmodel.device import choose_compute
from worldmodel.durable import atomic_directory
from worldmodel.latents import cached_latents
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.runs import RunDirectory
from worldmodel.training.record import environment_record, shown_command

__all__ = ["train"]


def train(cfg: DictConfig, run: RunDirectory) -> dict[str, float]:
    """Train a policy with no simulator but the world model.

    Every stage leaves a policy behind (`clone/`, `policy/`), and a run that was stopped goes on
    after the last one that was whole.

    Args:
        cfg: the composed configuration of `policy`.
        run: where everything is written.

    Returns:
        Figures, `train_minutes` among them: of all stages together.

    Raises:
        ConfigError: a model without goals, values out of range, rewards that are not finite, or a
            run that was begun with other settings.
        DatasetError: no recordings, or those of another world.
    """
    if cfg.rounds < 1:
        raise ConfigError(f"rounds={cfg.rounds}; expected 1 or more.")
    for key in ("rounds", "lanes", "horizon"):
        if cfg.imagination[key] < 1:
            raise ConfigError(f"imagination.{key}={cfg.imagination[key]}; expected 1 or more.")
    for part, settings in training_parts(cfg).items():
        require_same(run, part, settings)
    pipeline = WorldModelPipeline.from_pretrained(world_checkpoint(cfg))
    pipeline.to(choose_compute().device)
    if cfg.rounds > 1 or cfg.anew.motion_steps > 0:
        motion_of(pipeline)
    flat = opened_data(cfg.data, pipeline)
    minutes = Minutes(run)
    if cfg.anew.motion_steps > 0:
        note_settings(run, "motion", training_parts(cfg)["motion"])
        learn = partial(anew_learned, cfg, run.path / "anew", pipeline, flat)
        pipeline = minutes.of("motion", learn)
    policy = _prepared(cfg, run, pipeline, flat, minutes)
    figures = _rounds(cfg, run, policy, pipeline, flat, minutes)
    _keep(policy, run.path / "policy")
    lines = [line for line in run.history() if "steps_per_s" in line]
    figures |= {
        "train_minutes": minutes.total(),
        "train_cpu_minutes": minutes.cpu_total(),
        "imagined_steps": sum(line["steps"] for line in lines),
        "steps_per_s_while_training": sum(x["steps_per_s"] for x in lines) / max(1, len(lines)),
    }
    run.write_json("training.json", _record(cfg, minutes))
    return figures


def _rounds(
    cfg: DictConfig,
    run: RunDirectory,
    policy: Policy,
    pipeline: WorldModelPipeline,
    flat: FlatEpisodes,
    minutes: Minutes,
) -> dict[str, float]:
    """Improve a policy in imagination, in place; from the second round on in a model of its own."""
    prior = copy.deepcopy(policy).requires_grad_(False)
    trials = round_trials(cfg, pipeline) if cfg.rounds > 1 else []
    judge = RoundJudge(trials, cfg.steps)
    datasets = [flat]
    for number in range(1, cfg.rounds + 1):
        folder, tail = (
            (run.path, "") if number == 1 else (run.path / f"round-{number}", f"-{number}")
        )
        if number > 1:
            note_settings(run, "later round", training_parts(cfg)["later round"])
            collect = partial(collected_round, cfg, run, policy, pipeline, number)
            datasets.append(minutes.of(f"collecting{tail}", collect))
            learn = partial(again_learned, cfg, folder, pipeline, datasets)
            pipeline = minutes.of(f"motion{tail}", learn)
        lanes = lanes_of(pipeline, policy)
        beginnings = _beginnings(cfg, folder, lanes, flat, minutes)
        count = cfg.imagination.rounds if number == 1 else cfg.again.rounds
        where = folder / "imagination"
        dream = partial(imagine, cfg, run, policy, prior, lanes, beginnings, where, count)
        minutes.of(f"imagination{tail}", dream)
        if trials:
            judge.judge(policy, pipeline)
    # Those that the policy recorded between rounds cost as much as the first.
    recorded = float(sum(len(each.frames) for each in datasets))
    return judge.figures() | {"recorded_frames": recorded}


def _prepared(
    cfg: DictConfig,
    run: RunDirectory,
    pipeline: WorldModelPipeline,
    flat: FlatEpisodes,
    minutes: Minutes,
) -> Policy:
    """A policy with eyes that does what the recordings did."""
    if cfg.resume != "never" and (run.path / "clone" / "manifest.json").is_file():
        return Policy.from_pretrained(run.path / "clone", pipeline).to(pipeline.device)
    policy = new_policy(pipeline, cfg)
    for part in (cfg.eyes, cfg.cloning):
        train_settings(cfg, part)
    note_settings(run, "clone", training_parts(cfg)["clone"])
    if isinstance(policy.view.eyes, LayerEyes):
        seen, figures = _layer_eyes(cfg, run, policy, pipeline, flat, minutes)
    else:
        seen, figures = _latent_eyes(cfg, run, policy, pipeline, flat, minutes)
    figures |= minutes.of("cloning", lambda: cloned(policy, flat, seen, cfg, run))
    policy.to(pipeline.device).eval()
    _keep(policy, run.path / "clone")
    run.write_json("preparation.json", figures)
    return policy


def _layer_eyes(
    cfg: DictConfig,
    run: RunDirectory,
    policy: Policy,
    pipeline: WorldModelPipeline,
    flat: FlatEpisodes,
    minutes: Minutes,
) -> tuple[Tensor, dict[str, float]]:
    """Eyes over layers; the frames that they learned from are what rollouts begin at."""
    reader, count = pipeline.layer_reader, cfg.eyes.frames
    looked, held_out = minutes.of(
        "looking",
        lambda: (
            look_at(reader, flat, "train", count, cfg.seed),
            look_at(reader, flat, "validation", max(2, count // 12), cfg.seed),
        ),
    )
    eyes = policy.view.eyes
    assert isinstance(eyes, LayerEyes)
    sets = layer_sets(looked, held_out, cfg)
    figures = minutes.of(
        "eyes", lambda: with_eyes(policy, LayerSightObjective(eyes), sets, cfg, run)
    )
    lanes = PoseLanes(pipeline, eyes.eval().requires_grad_(False))
    states = minutes.of("looking", lambda: begun(lanes, looked))
    states.save(_read_before(run.path, pipeline))
    # Bodies are read as finely as the state is told, so the clone learns from the latter.
    return true_sight(flat.state).vector(), figures


def _latent_eyes(
    cfg: DictConfig,
    run: RunDirectory,
    policy: Policy,
    pipeline: WorldModelPipeline,
    flat: FlatEpisodes,
    minutes: Minutes,
) -> tuple[Tensor, dict[str, float]]:
    """Eyes over latents, and what they see on every recorded frame."""
    eyes = policy.view.eyes
    assert isinstance(eyes, PushEyes)
    latents = minutes.of(
        "latents", lambda: cached_latents(pipeline.tokenizer, flat, Path(cfg.data) / "latents")
    )
    sets = latent_sets(flat, latents, cfg)
    figures = minutes.of("eyes", lambda: with_eyes(policy, SightObjective(eyes), sets, cfg, run))
    eyes.eval().requires_grad_(False)
    return minutes.of("looking", lambda: all_seen(policy, latents)), figures


def _beginnings(
    cfg: DictConfig, folder: Path, lanes: Lanes[Any], flat: FlatEpisodes, minutes: Minutes
) -> Beginnings[Any]:
    """Where rollouts begin: poses that were read before, or frames read as they are drawn."""
    if not isinstance(lanes, PoseLanes):
        return FreshBeginnings(lanes, PushStarts(flat))
    path = _read_before(folder, lanes.pipeline)
    if not path.is_file():
        looked = minutes.of(
            "looking",
            lambda: look_at(lanes.pipeline.layer_reader, flat, "train", cfg.eyes.frames, cfg.seed),
        )
        begun(lanes, looked).save(path)
    return ReadBeginnings(PoseState.load(path).to(lanes.device), cfg.imagination.rough)


def _read_before(folder: Path, pipeline: WorldModelPipeline) -> Path:
    """Where the poses that were read are kept; what sprites mean to another motion is another."""
    return folder / f"beginnings-{weights_fingerprint(pipeline.motion)}.safetensors"


def imagine(
    cfg: DictConfig,
    run: RunDirectory,
    policy: Policy,
    prior: Policy,
    lanes: Lanes[Any],
    beginnings: Beginnings[Any],
    folder: Path,
    rounds: int,
) -> None:
    """Improve a policy in place, near the prior."""
    dreams = cfg.imagination
    for part in (policy.actor, policy.action, policy.critic, policy.value):
        part.requires_grad_(True)
    wanted: dict[str, Any] = {name: dreams[name] for name in Settings.__dataclass_fields__}
    improver = Improver(policy, prior if dreams.prior > 0 else None, Settings(**wanted))
    every = max(1, rounds // max(1, dreams.kept))
    dream = Dream(
        rounds=rounds,
        horizon=dreams.horizon,
        warmup=min(dreams.warmup, rounds - 1),
        seed=cfg.seed,
        save_every=dreams.save_every,
        keep=tuple(range(every, rounds, every)),
        final_rate=dreams.final_rate,
    )
    console = Console()

    def report(figures: dict[str, float]) -> None:
        run.log({"steps": dreams.lanes * dreams.horizon, **figures})
        if int(figures["round"]) % cfg.log_every == 0:
            console.print(
                f"round {int(figures['round'])}/{rounds}  "
                f"reward {figures['reward']:.3f}  goals/step {figures['success_per_step']:.4f}  "
                f"entropy {figures['entropy']:.2f}  {figures['steps_per_s']:.0f} steps/s",
                highlight=False,
            )

    imagination = Imagination(
        lanes,
        beginnings,
        dreams.lanes,
        dreams.longest,
        doubt=dreams.doubt,
        blur_m=dreams.blur_m,
    )
    note_settings(run, "imagination", training_parts(cfg)["imagination"])
    train_in_imagination(improver, imagination, dream, folder, report)
    policy.eval().requires_grad_(False)


def _keep(policy: Policy, target: Path) -> None:
    with atomic_directory(target) as hidden:
        policy.save_pretrained(hidden)


def _record(cfg: DictConfig, minutes: Minutes) -> dict[str, Any]:
    return {
        "command": shown_command(),
        "seconds": minutes.seconds,
        "cpu_seconds": minutes.cpu_seconds,
        "config": OmegaConf.to_container(cfg, resolve=True),
        **environment_record(),
    }
