"""Under what conditions an episode was measured: what was found under others does not count."""

from __future__ import annotations

import hashlib
import json

from omegaconf import DictConfig, OmegaConf

from worldmodel.checkpoint import MANIFEST, resolve

__all__ = ["conditions"]

# Counts up whenever the agent acts differently under the same settings, or more is written down.
_AGENT = 2
_DECIDING = ("planner", "seed", "max_ticks", "commit", "probe")


def conditions(cfg: DictConfig) -> str:
    """Name the settings and the model that decide how an episode goes.

    A model that was trained on in the same folder is another one.

    Args:
        cfg: see `configs/agent.yaml`.

    Returns:
        16 hexadecimal digits.

    Raises:
        CheckpointError: the model is missing.
    """
    values = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(values, dict)
    told = {"agent": _AGENT} | {name: values[name] for name in _DECIDING}
    digest = hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=8)
    folders = [cfg.checkpoint] if cfg.probe == "checkpoint" else [cfg.checkpoint, cfg.probe]
    for folder in folders:
        manifest = resolve(str(folder)) / MANIFEST
        digest.update(manifest.read_bytes() if manifest.is_file() else b"")
    return digest.hexdigest()
