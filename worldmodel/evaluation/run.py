"""The verb `worldmodel evaluate`: measure one model on what it never saw in training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from multimodal.errors import ConfigError
from worldmodel.configuration import nearest
from worldmodel.runs import RunDirectory

__all__ = ["MODELS", "run"]

# Each module has `evaluate(cfg, directory) -> dict[str, float]`, which writes its report into the
# run's folder and returns the final figures. Imported when asked for.
MODELS: Mapping[str, str] = {
    "codec": "worldmodel.evaluation.codec",
    "ears": "worldmodel.evaluation.ears",
    "clip": "worldmodel.evaluation.clip",
    "vlm": "worldmodel.evaluation.vlm",
    "native": "worldmodel.evaluation.native",
    "curation": "worldmodel.evaluation.curation",
}
_Evaluate = Callable[[DictConfig, RunDirectory], dict[str, float]]


def run(cfg: DictConfig) -> int:
    """Measure the model that `cfg.model` names.

    Args:
        cfg: the configuration of the verb `evaluate`.

    Returns:
        0, also where a target is missed: the figures say so.

    Raises:
        ConfigError: there is no such model.
        CheckpointError: the checkpoint is missing, altered or of another kind.
    """
    if cfg.model not in MODELS:
        raise ConfigError(f"model={cfg.model} is unknown: {nearest(str(cfg.model), MODELS)}")
    directory = RunDirectory.open("evaluate", cfg.out)
    directory.write_config(cfg)
    evaluate = cast(_Evaluate, import_module(MODELS[cfg.model]).evaluate)
    figures = evaluate(cfg, directory)
    directory.write_metrics(figures)
    table = Table("figure", "measured", title=f"{cfg.model}: {directory.path}")
    for name, value in figures.items():
        table.add_row(name, f"{value:.4g}")
    Console(stderr=True).print(table)
    return 0
