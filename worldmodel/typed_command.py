"""A composed configuration as the command that a user would type to compose it again."""

import json
import re
import shlex
from collections.abc import Collection
from typing import Any

from omegaconf import DictConfig, OmegaConf

from worldmodel.configuration import composed, group_options, verb_groups

__all__ = ["typed_command"]

# Where results go, and on what they are computed, is the next user's own choice.
_LEFT_OUT = frozenset({"out", "compute"})
_PLAIN = re.compile(r"[A-Za-z_./][\w./-]*")
_NOT_TEXT = frozenset({"true", "false", "null", "nan", "inf", "infinity"})


def typed_command(verb: str, cfg: DictConfig, always: Collection[str] = ()) -> str:
    """Say what to type so that a verb gets this configuration.

    Args:
        verb: name of the verb.
        cfg: its composed configuration.
        always: keys that are named even where they are at their default; others are then left out.

    Returns:
        The command, quoted for a shell.
    """
    wanted = _leaves(cfg)
    groups = verb_groups(verb)
    nearest = {group: _nearest(group, default, cfg) for group, default in groups.items()}
    changed = {group: option for group, option in nearest.items() if option != groups[group]}
    start = _leaves(composed(verb, [f"{group}={option}" for group, option in changed.items()]))
    words = [f"{group}={option}" for group, option in changed.items()]
    for key, value in wanted.items():
        if key.partition(".")[0] in _LEFT_OUT:
            continue
        if key not in start:
            words.append(f"+{key}={_written(value)}")
        elif key in always or value != start[key]:
            words.append(f"{key}={_written(value)}")
    words += [f"~{key}" for key in start if key not in wanted]
    return shlex.join(["worldmodel", verb, *words])


def _nearest(group: str, default: str, cfg: DictConfig) -> str:
    """The option of a group that is fewest changes away, the default one where there are ties."""
    wanted = _leaves(cfg[group])

    def changes(option: str) -> tuple[int, bool]:
        offered = _leaves(composed(f"{group}/{option}")[group])
        keys = wanted.keys() | offered.keys()
        return sum(wanted.get(key, ...) != offered.get(key, ...) for key in keys), option != default

    return min(group_options(group), key=changes)


def _leaves(cfg: DictConfig) -> dict[str, Any]:
    """All values that are not groups of keys, by dotted name."""
    plain = OmegaConf.to_container(cfg, resolve=True)
    found: dict[str, Any] = {}

    def walk(values: Any, prefix: str) -> None:
        for key, value in values.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            else:
                found[f"{prefix}{key}"] = value

    walk(plain, "")
    return found


def _written(value: Any) -> str:
    """A value in Hydra's grammar; text that would be read as something else is quoted."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_written(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    return json.dumps(value, ensure_ascii=False)
