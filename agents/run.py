"""The verb `worldmodel agent`: say it, see it done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

from omegaconf import DictConfig

from multimodal.errors import ConfigError
from worldmodel.configuration import nearest

__all__ = ["MODES", "run"]

# Each module has `run(cfg) -> int`. Imported when asked for.
MODES: Mapping[str, str] = {
    "act": "agents.acting.run",
    "evaluate": "agents.evaluation.run",
    "browse": "agents.browser.run",
    "replay": "agents.acting.rerun",
}


def run(cfg: DictConfig) -> int:
    """Do what `cfg.mode` says.

    Args:
        cfg: see `configs/agent.yaml`.

    Returns:
        The exit code.

    Raises:
        ConfigError: there is no such mode.
    """
    if cfg.mode not in MODES:
        raise ConfigError(f"mode={cfg.mode} is unknown: {nearest(str(cfg.mode), MODES)}")
    return cast(Callable[[DictConfig], int], import_module(MODES[cfg.mode]).run)(cfg)
