"""The verb `worldmodel train`: the whole chain of stages, or one of them."""

import logging
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from multimodal.errors import ConfigError
from worldmodel.comparisons import COMPARISONS
from worldmodel.device import choose_compute
from worldmodel.runs import RunDirectory
from worldmodel.training.chain import StageRecord, export_pipeline, run_stage
from worldmodel.training.layer_stages import LAYER_STAGES, layer_module
from worldmodel.training.processes import is_first, joined_processes, process_count, wait_for_all
from worldmodel.training.record import environment_record, shown_command
from worldmodel.training.stages import (
    NATIVE_STAGES,
    STAGES,
    VLM_STAGES,
    WORLD_STAGES,
    Source,
    probe_module,
)

__all__ = ["run"]

WORLD = "world"
# Chains that need nothing but their stages, one after the other.
CHAINS = {"vlm": VLM_STAGES, "native": NATIVE_STAGES}

_log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> int:
    """Train what `cfg.objective` names.

    `world` trains the tokeniser, encodes the dataset, trains the dynamics and the state probe, each
    in a folder of its own below the run's, and puts them together in `pipeline/`. `vlm` trains CLIP
    and the stages of the vision-language model likewise, `native` the native model. A stage that is
    done is recognised and skipped, one that was killed goes on. A stage's name trains that one
    alone, with the earlier stages' results from `cfg.from_run`. A comparison trains several arms
    and writes a table.

    Args:
        cfg: the configuration of the verb `train`.

    Returns:
        0.

    Raises:
        ConfigError: the objective is unknown, or settings do not fit together.
        DatasetError: the dataset is missing, incomplete or damaged.
        CheckpointError: an earlier stage's model is missing, torn or altered.
        KeyboardInterrupt: Ctrl-C; the step was finished and a checkpoint saved.
    """
    _check(cfg)
    with joined_processes(choose_compute(None if cfg.compute == "auto" else cfg.compute).device):
        directory = RunDirectory.open("train", cfg.out)
        if is_first():
            directory.write_config(cfg)
        source = Source(cfg, Path(cfg.from_run or directory.path))
        if cfg.objective in COMPARISONS:
            compare = import_module(COMPARISONS[cfg.objective]).compare
            directory.write_metrics(compare(source, directory))
            return 0
        if cfg.objective == WORLD:
            records = _train_world(source, directory)
        elif cfg.objective in CHAINS:
            records = {
                stage: run_stage(source, stage, RunDirectory(directory.path / stage), cfg.resume)
                for stage in CHAINS[cfg.objective]
            }
        else:
            stage = RunDirectory(directory.path / cfg.objective)
            records = {cfg.objective: run_stage(source, cfg.objective, stage, cfg.resume)}
        if is_first():
            _write_figures(directory, source, records)
    return 0


def _check(cfg: DictConfig) -> None:
    chains = (WORLD, *CHAINS, *COMPARISONS)
    known = list(dict.fromkeys((*chains, *STAGES)))
    if cfg.objective not in known:
        raise ConfigError(f"objective={cfg.objective} is not one of: {', '.join(known)}")
    if cfg.objective in chains and cfg.resume not in ("auto", "never"):
        raise ConfigError(
            f"resume={cfg.resume} names one checkpoint, but objective={cfg.objective} trains "
            f"several models: use resume=auto, or name the stage, objective={' or '.join(STAGES)}"
        )
    if cfg.objective in (WORLD, *CHAINS) and cfg.from_run is not None:
        raise ConfigError(
            f"from_run is for a single stage: objective={cfg.objective} trains all of them"
        )
    if cfg.objective in CHAINS and cfg.initial is not None:
        raise ConfigError(
            f"initial={cfg.initial} is for a world or a single stage; to train a vision-language "
            "model on, use objective=instruct"
        )
    if process_count() > 1 and cfg.objective in COMPARISONS:
        raise ConfigError(f"objective={cfg.objective} compares its arms in a single process")
    if process_count() > 1 and cfg.out is None:
        raise ConfigError("several processes write to one folder: name it with out=DIR")


def _train_world(source: Source, directory: RunDirectory) -> dict[str, StageRecord]:
    records = {}
    for stage in WORLD_STAGES:
        if stage in LAYER_STAGES and layer_module(source) is None:
            continue
        if stage == "probe" and probe_module(source) is None:
            _log.warning(
                "no state probe for the world %r: its models are measured by pixels only",
                source.world.get("world", ""),
            )
            continue
        run_directory = RunDirectory(directory.path / stage)
        records[stage] = run_stage(source, stage, run_directory, source.cfg.resume)
    if is_first():
        folder = export_pipeline(source, directory.path / "pipeline", _account(source, records))
        Console(stderr=True).print(f"the model is in {folder}; use it with checkpoint={folder}")
    wait_for_all()
    return records


def _write_figures(
    directory: RunDirectory, source: Source, records: dict[str, StageRecord]
) -> None:
    directory.write_json("training.json", _account(source, records))
    figures: dict[str, float] = {}
    for stage, record in records.items():
        figures[f"{stage}_steps"] = record.values["steps"]
        figures[f"{stage}_seconds"] = record.values["seconds"]
        for name, value in record.values["losses"].items():
            figures[f"{stage}_{name}"] = value
    reader = ("clips_per_s", "clips_over_training")
    figures |= {k: r.values[k] for r in records.values() for k in reader if k in r.values}
    figures["train_seconds"] = sum(record.values["seconds"] for record in records.values())
    directory.write_metrics(figures)


def _account(source: Source, records: dict[str, StageRecord]) -> dict[str, Any]:
    """Everything a model card says about how the model came to be."""
    return {
        "command": shown_command(),
        "config": OmegaConf.to_container(source.cfg, resolve=True),
        "seed": source.cfg.seed,
        "dataset": STAGES[next(iter(records))].data(source),
        "stages": {stage: record.values for stage, record in records.items()},
        **environment_record(),
    }
