"""Which reasoner turns an instruction into steps: the table's grammar, or a language model."""

from __future__ import annotations

from omegaconf import DictConfig

from agents.acting.planning_agent import Understand, understood
from multimodal.errors import ConfigError

__all__ = ["understanding"]


def understanding(cfg: DictConfig) -> Understand:
    """What `cfg.reason` names.

    Raises:
        ConfigError: nothing of that name.
    """
    if cfg.reason == "grammar":
        return understood
    raise ConfigError(f"reason={cfg.reason} is unknown")
