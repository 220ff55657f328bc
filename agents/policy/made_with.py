"""With which settings a run's parts were made, so that no resume takes them for another's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.policy.worlds import world_checkpoint
from multimodal.errors import ConfigError
from worldmodel.runs import RunDirectory

__all__ = ["MADE_WITH", "named", "note_settings", "require_same", "training_parts"]

MADE_WITH = "made_with.json"


def require_same(run: RunDirectory, part: str, settings: Mapping[str, Any]) -> None:
    """Refuse other settings than a part of a run was begun with.

    Args:
        run: may hold the part, whole or begun.
        part: its name.
        settings: all that it depends on, by the names that the command takes.

    Raises:
        ConfigError: the part was begun with other settings.
    """
    asked = {name: _plain(value) for name, value in settings.items()}
    known = _made(run).get(part, {})
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


def note_settings(run: RunDirectory, part: str, settings: Mapping[str, Any]) -> None:
    """Note with which settings a part of a run is made, when it is begun and not before.

    A command that was refused has made nothing, and shall bind nobody to its settings.

    Args:
        run: will hold the part.
        part: its name.
        settings: as `require_same` takes them.
    """
    noted = {name: _plain(value) for name, value in settings.items()}
    run.write_json(MADE_WITH, _made(run) | {part: noted})


def training_parts(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """What each part of a training in a learned world depends on; more rounds change no part.

    Args:
        cfg: the composed configuration of `policy`.

    Raises:
        ConfigError: no learned world is named.
    """
    shared = {"seed": cfg.seed, "world.options.checkpoint": world_checkpoint(cfg)}
    cloning = {name: cfg[name] for name in ("data", "sees", "eyes_width", "width")}
    cloning |= named(cfg, "eyes") | named(cfg, "cloning")
    discount = {"imagination.discount": cfg.imagination.discount}
    dreams = named(cfg, "imagination", but=("rounds", "kept", "save_every"))
    anew = {"anew.motion_steps": cfg.anew.motion_steps}
    parts = {"clone": shared | cloning | discount, "imagination": shared | dreams | anew}
    if cfg.anew.motion_steps > 0:
        parts["motion"] = shared | {"data": cfg.data} | named(cfg, "anew")
    if cfg.rounds > 1:
        parts["later round"] = shared | named(cfg, "again", but=("rounds", "trials"))
    return parts


def named(cfg: DictConfig, group: str, but: Sequence[str] = ()) -> dict[str, Any]:
    """Settings of a group of the configuration, by the names that the command takes."""
    return {f"{group}.{name}": value for name, value in cfg[group].items() if name not in but}


def _made(run: RunDirectory) -> dict[str, dict[str, Any]]:
    path = run.path / MADE_WITH
    made: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}
    return made


def _plain(value: Any) -> Any:
    """As JSON has it, so that what was read back compares equal."""
    if isinstance(value, DictConfig) or OmegaConf.is_list(value):
        value = OmegaConf.to_container(value, resolve=True)
    return json.loads(json.dumps(value))
