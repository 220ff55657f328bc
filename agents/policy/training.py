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

from agents.policy.dreaming import Dream, train_in_imagination
from agents.policy.imagination import Imagination
from agents.policy.improvement import Improver, Settings
from agents.policy.policy import Policy
from agents.policy.preparation import all_seen, cloned, new_policy, opened_data, with_eyes
from agents.policy.starts import PushStarts
from multimodal.errors import ConfigError
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
    flat = opened_data(cfg.data, pipeline)
    minutes = _Minutes(run)
    policy = new_policy(pipeline, cfg)
    if cfg.resume != "never" and (run.path / "clone" / "manifest.json").is_file():
        policy = Policy.from_pretrained(run.path / "clone", pipeline.tokenizer)
    else:
        latents = minutes.of(
            "latents",
            lambda: cached_latents(pipeline.tokenizer, flat, Path(cfg.data) / "latents"),
        )
        figures = minutes.of("eyes", lambda: with_eyes(policy, flat, latents, cfg, run))
        policy.requires_grad_(True).view.requires_grad_(False)
        seen = minutes.of("looking", lambda: all_seen(policy, latents))
        figures = minutes.of("cloning", lambda: cloned(policy, flat, seen, cfg, run)) | figures
        _keep(policy, run.path / "clone")
        run.write_json("preparation.json", figures)
    policy.attach(pipeline.tokenizer)
    seconds = _imagine(cfg, run, policy, pipeline, PushStarts(flat))
    minutes.note("imagination", seconds)
    _keep(policy, run.path / "policy")
    rounds = [line for line in run.history() if "steps_per_s" in line]
    figures = {
        "train_minutes": minutes.total(),
        "imagined_steps": cfg.imagination.rounds * cfg.imagination.lanes * cfg.imagination.horizon,
        "steps_per_s_while_training": sum(x["steps_per_s"] for x in rounds) / max(1, len(rounds)),
    }
    run.write_json("training.json", _record(cfg, minutes))
    return figures


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


def _imagine(
    cfg: DictConfig,
    run: RunDirectory,
    policy: Policy,
    pipeline: WorldModelPipeline,
    starts: PushStarts,
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

    imagination = Imagination(pipeline, starts, dreams.lanes, dreams.longest)
    seconds = train_in_imagination(improver, imagination, dream, run.path / "imagination", report)
    policy.eval().requires_grad_(False)
    return seconds


def _keep(policy: Policy, target: Path) -> None:
    with atomic_directory(target) as hidden:
        policy.save_pretrained(hidden)


def _record(cfg: DictConfig, minutes: _Minutes) -> dict[str, Any]:
    return {
        "command": shown_command(),
        "seconds": minutes.seconds,
        "config": OmegaConf.to_container(cfg, resolve=True),
        **environment_record(),
    }


class _Minutes:
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
