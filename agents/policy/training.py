"""`worldmodel policy train`: eyes and a clone from recordings, then improvement in imagination."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
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
    with_eyes,
)
from agents.policy.sight_objective import SightObjective, true_sight
from agents.policy.starts import PushStarts
from agents.policy.worlds import lanes_of
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
        ConfigError: a model without goals, values out of range, or rewards that are not finite.
        DatasetError: no recordings, or those of another world.
    """
    for key in ("rounds", "lanes", "horizon"):
        if cfg.imagination[key] < 1:
            raise ConfigError(f"imagination.{key}={cfg.imagination[key]}; expected 1 or more.")
    pipeline = WorldModelPipeline.from_pretrained(world_checkpoint(cfg))
    pipeline.to(choose_compute().device)
    flat = opened_data(cfg.data, pipeline)
    minutes = Minutes(run)
    policy = _prepared(cfg, run, pipeline, flat, minutes)
    lanes = lanes_of(pipeline, policy)
    beginnings = _beginnings(cfg, run, lanes, flat, minutes)
    minutes.note("imagination", imagine(cfg, run, policy, lanes, beginnings))
    _keep(policy, run.path / "policy")
    rounds = [line for line in run.history() if "steps_per_s" in line]
    figures = {
        "train_minutes": minutes.total(),
        "imagined_steps": cfg.imagination.rounds * cfg.imagination.lanes * cfg.imagination.horizon,
        "steps_per_s_while_training": sum(x["steps_per_s"] for x in rounds) / max(1, len(rounds)),
    }
    run.write_json("training.json", _record(cfg, minutes))
    return figures


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
    states.save(_read_before(run, pipeline))
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
    cfg: DictConfig, run: RunDirectory, lanes: Lanes[Any], flat: FlatEpisodes, minutes: Minutes
) -> Beginnings[Any]:
    """Where rollouts begin: poses that were read before, or frames read as they are drawn."""
    if not isinstance(lanes, PoseLanes):
        return FreshBeginnings(lanes, PushStarts(flat))
    path = _read_before(run, lanes.pipeline)
    if not path.is_file():
        looked = minutes.of(
            "looking",
            lambda: look_at(lanes.pipeline.layer_reader, flat, "train", cfg.eyes.frames, cfg.seed),
        )
        begun(lanes, looked).save(path)
    return ReadBeginnings(PoseState.load(path).to(lanes.device))


def _read_before(run: RunDirectory, pipeline: WorldModelPipeline) -> Path:
    """Where the poses that were read are kept; what sprites mean to another motion is another."""
    return run.path / f"beginnings-{weights_fingerprint(pipeline.motion)}.safetensors"


def world_checkpoint(cfg: DictConfig) -> str:
    """The world model named by a learned world of `configs/world/`.

    Raises:
        ConfigError: a MuJoCo world was chosen instead of a learned one.
    """
    checkpoint = OmegaConf.select(cfg, "world.options.checkpoint")
    if not checkpoint:
        raise ConfigError(
            f"world={cfg.world.id} is no learned world. Policies are trained in one: "
            "world=PushLearned, or any other with world.options.checkpoint=DIR."
        )
    return str(checkpoint)


def imagine(
    cfg: DictConfig,
    run: RunDirectory,
    policy: Policy,
    lanes: Lanes[Any],
    beginnings: Beginnings[Any],
) -> float:
    """Improve a policy in place; gives the seconds it took."""
    dreams = cfg.imagination
    prior = copy.deepcopy(policy).requires_grad_(False)
    for part in (policy.actor, policy.action, policy.critic, policy.value):
        part.requires_grad_(True)
    wanted: dict[str, Any] = {name: dreams[name] for name in Settings.__dataclass_fields__}
    improver = Improver(policy, prior if dreams.prior > 0 else None, Settings(**wanted))
    every = max(1, dreams.rounds // max(1, dreams.kept))
    dream = Dream(
        rounds=dreams.rounds,
        horizon=dreams.horizon,
        warmup=min(dreams.warmup, dreams.rounds - 1),
        seed=cfg.seed,
        save_every=dreams.save_every,
        keep=tuple(range(every, dreams.rounds, every)),
    )
    console = Console()

    def report(figures: dict[str, float]) -> None:
        run.log(figures)
        if int(figures["round"]) % cfg.log_every == 0:
            console.print(
                f"round {int(figures['round'])}/{dreams.rounds}  "
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
    seconds = train_in_imagination(improver, imagination, dream, run.path / "imagination", report)
    policy.eval().requires_grad_(False)
    return seconds


def _keep(policy: Policy, target: Path) -> None:
    with atomic_directory(target) as hidden:
        policy.save_pretrained(hidden)


def _record(cfg: DictConfig, minutes: Minutes) -> dict[str, Any]:
    return {
        "command": shown_command(),
        "seconds": minutes.seconds,
        "config": OmegaConf.to_container(cfg, resolve=True),
        **environment_record(),
    }


class Minutes:
    """Wall-clock seconds of the stages, kept in the run so that a resumed run adds to them."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        path = run.path / "seconds.json"
        self.seconds: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}

    def of(self, stage: str, work: Callable[[], Any]) -> Any:
        """Do the work of a stage and note how long it took."""
        begun = time.perf_counter()
        result = work()
        self.note(stage, self.seconds.get(stage, 0.0) + time.perf_counter() - begun)
        return result

    def note(self, stage: str, seconds: float) -> None:
        """A stage took so long in all."""
        self.seconds[stage] = seconds
        self._run.write_json("seconds.json", self.seconds)

    def total(self) -> float:
        """Minutes of all stages."""
        return sum(self.seconds.values()) / 60
