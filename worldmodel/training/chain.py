"""Runs a stage of `worldmodel train` to its end in a folder of its own, once."""

import json
import logging
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMapEulerDiscreteScheduler
from omegaconf import OmegaConf
from rich.console import Console

from multimodal.errors import CheckpointError
from multimodal.layers import LayerReader
from worldmodel.checkpoint import MANIFEST, verify, write_manifest
from worldmodel.device import choose_compute
from worldmodel.durable import atomic_directory, remove_leftovers
from worldmodel.dynamics import Dynamics
from worldmodel.motion import Motion
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.runs import RunDirectory
from worldmodel.training.history import set_aside
from worldmodel.training.processes import is_first, wait_for_all
from worldmodel.training.reading import reading_figures
from worldmodel.training.settings import TrainResult, TrainSettings
from worldmodel.training.stages import STAGES, Source, Work
from worldmodel.training.state import load_model, read_state
from worldmodel.training.train import train_objective

__all__ = ["StageRecord", "export_pipeline", "run_stage", "stage_settings"]

_SCHEDULE_KEYS = {"steps", "batch_size", "learning_rate"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageRecord:
    """The account of one finished stage.

    Attributes:
        values: JSON values: steps, seconds, samples, parameters, losses, settings, device.
        skipped: whether it had been done before.
    """

    values: dict[str, Any]
    skipped: bool


def stage_settings(source: Source, stage: str) -> TrainSettings:
    """The trainer's settings of a stage, from its budget and the verb's configuration."""
    cfg = source.cfg
    budget: Any = OmegaConf.to_container(cfg.size.budget[stage], resolve=True)
    chosen = {name: value for name, value in budget.items() if name in TrainSettings.model_fields}
    return TrainSettings(
        **{
            "warmup_steps": max(1, min(200, chosen["steps"] // 20)),
            **chosen,
            "seed": cfg.seed,
            "save_every": cfg.save_every,
            "validate_every": cfg.validate_every,
            "log_every": cfg.log_every,
            "keep": cfg.keep,
            "workers": cfg.workers,
            "compute": None if cfg.compute == "auto" else cfg.compute,
        }
    )


def run_stage(source: Source, stage: str, run: RunDirectory, resume: str) -> StageRecord:
    """Train a stage in `run`, or recognise that it is done.

    The stage's model goes to `model/` with a manifest, its account to `training.json`. A stage
    whose dataset, architecture or earlier stage changed is trained anew, and what was there is
    moved aside.

    Args:
        source: configuration, dataset and earlier results.
        stage: a name in `STAGES`.
        run: the stage's own folder.
        resume: `auto`, `never` or a checkpoint's folder.

    Returns:
        The stage's account.
    """
    settings, inputs = stage_settings(source, stage), source.inputs(stage)
    if resume == "auto":
        done = _finished(run, stage, inputs, settings)
        if done is not None:
            return StageRecord(done, skipped=True)
    if is_first():
        _begin(run, inputs, resume)
    wait_for_all()
    if is_first():
        Console(stderr=True).print(f"training the {stage} for {settings.steps} steps in {run.path}")
    work = STAGES[stage].work(source)
    torch.manual_seed(source.cfg.seed)
    objective = work.build()
    trainable = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    result = train_objective(
        objective,
        work.train,
        work.validation,
        settings,
        run,
        "auto" if resume == "never" else resume,
        source.cfg.wandb.mode,
        collate=work.collate,
        wandb_project=source.cfg.wandb.project,
    )
    values = _account(result, settings, trainable)
    if is_first():
        if stage == "dynamics":
            values |= reading_figures(work.train, settings, run, result.processes)
        _export(work, result, run, stage, inputs, values)
        run.write_json("training.json", values)
    wait_for_all()
    return StageRecord(values, skipped=False)


def export_pipeline(source: Source, folder: Path, account: dict[str, Any]) -> Path:
    """Put the trained models together as a pipeline that `from_pretrained` opens.

    Args:
        source: where the stages' models are.
        folder: the pipeline's folder; replaced as a whole.
        account: goes beside the models as `training.json`.

    Returns:
        `folder`.

    Raises:
        CheckpointError: a stage is not done.
        DiskFullError: the disk is full; an earlier pipeline in `folder` is intact.
    """
    dynamics = Dynamics.from_pretrained(source.model("dynamics"), use_safetensors=True)
    assert isinstance(dynamics, Dynamics)
    low, high = source.action_bounds
    layered = (source.results / "motion" / "model").is_dir()
    pipeline = WorldModelPipeline(
        source.tokenizer(),
        dynamics,
        FlowMapEulerDiscreteScheduler(),
        LayerReader.from_pretrained(source.model("layer_reader")) if layered else None,
        Motion.from_pretrained(source.model("motion")) if layered else None,
        world=source.world.get("world", ""),
        world_options=source.world["options"],
        size_px=source.flat.frames.shape[1],
        action_low=low.tolist(),
        action_high=high.tolist(),
        sampling_steps=source.recipe.sampling_steps,
        source=source.recipe.source,
    )
    remove_leftovers(folder.parent)
    with atomic_directory(folder) as temporary:
        pipeline.save_pretrained(temporary)
        kind = str(verify(temporary)["kind"])
        if (source.results / "probe" / "model").is_dir():
            _copy_model(source.model("probe"), temporary / "probe")
        (temporary / "training.json").write_text(json.dumps(account, indent=2) + "\n")
        write_manifest(temporary, kind)
    return folder


def _copy_model(model: Path, target: Path) -> None:
    shutil.copytree(model, target, ignore=shutil.ignore_patterns(MANIFEST))


def _finished(
    run: RunDirectory, stage: str, inputs: dict[str, Any], settings: TrainSettings
) -> dict[str, Any] | None:
    """The account of a stage that is done with these inputs and settings; None otherwise."""
    try:
        manifest = verify(run.path / "model", stage)
    except CheckpointError:
        return None
    if manifest["inputs"] != inputs or manifest["settings"] != _json_settings(settings):
        return None
    account: dict[str, Any] = manifest["account"]
    return account


def _begin(run: RunDirectory, inputs: dict[str, Any], resume: str) -> None:
    """Move an earlier run of other inputs aside and note the inputs of this one."""
    remove_leftovers(run.path)
    path = run.path / "inputs.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if resume == "never" or known not in (None, inputs):
        if resume != "never":
            _log.warning("%s was trained on something else and is trained anew", run.path)
        set_aside(run)
    run.write_json("inputs.json", inputs)


def _export(
    work: Work,
    result: TrainResult,
    run: RunDirectory,
    stage: str,
    inputs: dict[str, Any],
    account: dict[str, Any],
) -> None:
    """Write the stage's model from its last checkpoint, which is whole even under FSDP."""
    objective: Any = work.build()
    load_model(objective, read_state(result.checkpoint).model, result.checkpoint)
    with atomic_directory(run.path / "model") as folder:
        objective.export(folder)
        settings = TrainSettings(**account["settings"])
        extra = {"inputs": inputs, "settings": _json_settings(settings), "account": account}
        write_manifest(folder, stage, extra)


def _account(result: TrainResult, settings: TrainSettings, parameters: int) -> dict[str, Any]:
    return {
        "steps": result.steps,
        "seconds": result.seconds,
        "samples": result.steps * settings.batch_size,
        "trainable_parameters": parameters,
        "losses": {name: value for name, value in result.losses.items() if math.isfinite(value)},
        "settings": settings.model_dump(mode="json"),
        "device": result.device or str(choose_compute(settings.compute).device),
        "precision": result.precision,
        "processes": result.processes,
    }


def _json_settings(settings: TrainSettings) -> dict[str, Any]:
    """The settings that decide the result; how often it is logged and saved does not."""
    ignored = {"log_every", "validate_every", "save_every", "keep", "workers", "compute", "compile"}
    return settings.model_dump(mode="json", exclude=ignored)
