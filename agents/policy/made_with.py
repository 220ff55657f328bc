"""With which settings a run's parts were made, so that no resume takes them for another's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.policy.worlds import world_checkpoint
from multimodal.errors import ConfigError
from worldmodel.runs import RunDirectory

__all__ = ["MADE_WITH", "named", "require_same", "require_same_training"]

MADE_WITH = "made_with.json"


def require_same(run: RunDirectory, part: str, settings: Mapping[str, Any]) -> None:
    """Note with which settings a part of a run is made, or refuse others than it was made with.

    Args:
        run: holds the part, whole or begun.
        part: its name.
        settings: all that it depends on, by the names that the command takes.

    Raises:
        ConfigError: the part was begun with other settings.
    """
    path = run.path / MADE_WITH
    made: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}
    asked = {name: _plain(value) for name, value in settings.items()}
    known = made.get(part, {})
    changed = [
        f"{name}={known[name]} (now {asked.get(name)})"
        for name in sorted(known)
        if known[name] != asked.get(name)
    ]
    if changed:
        raise ConfigError(
            f"{run.path} holds a {part} that was made with {', '.join(changed)}. Name these "
            "settings again to go on, take another out=DIR, or begin anew with resume=never."
        )
    run.write_json(MADE_WITH, made | {part: asked})


def require_same_training(cfg: DictConfig, run: RunDirectory) -> None:
    """Refuse to go on with a training that was begun otherwise; more rounds are not otherwise.

    Args:
        cfg: the composed configuration of `policy`.
        run: the training's.

    Raises:
        ConfigError: a part of it was begun with other settings, or no learned world is named.
    """
    shared = {"seed": cfg.seed, "world.options.checkpoint": world_checkpoint(cfg)}
    cloning = {name: cfg[name] for name in ("data", "sees", "eyes_width", "width")}
    cloning |= named(cfg, "eyes") | named(cfg, "cloning")
    discount = {"imagination.discount": cfg.imagination.discount}
    require_same(run, "clone", shared | cloning | discount)
    dreams = named(cfg, "imagination", but=("rounds", "kept", "save_every"))
    require_same(run, "imagination", shared | dreams)
    if cfg.rounds > 1:
        require_same(run, "later round", shared | named(cfg, "again", but=("rounds", "trials")))


def named(cfg: DictConfig, group: str, but: Sequence[str] = ()) -> dict[str, Any]:
    """Settings of a group of the configuration, by the names that the command takes."""
    return {f"{group}.{name}": value for name, value in cfg[group].items() if name not in but}


def _plain(value: Any) -> Any:
    """As JSON has it, so that what was read back compares equal."""
    if isinstance(value, DictConfig) or OmegaConf.is_list(value):
        value = OmegaConf.to_container(value, resolve=True)
    return json.loads(json.dumps(value))
