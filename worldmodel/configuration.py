"""How a command's configuration is composed from `configs/`, checked, and explained to the user."""

import difflib
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any, NamedTuple

from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from multimodal.errors import ConfigError

__all__ = [
    "DocumentedKey",
    "composed",
    "documented_keys",
    "group_options",
    "nearest",
    "verb_groups",
]

_MODULE = "configs"


class DocumentedKey(NamedTuple):
    """One key of a configuration file: its dotted name, its default as written, its comment."""

    name: str
    default: str
    comment: str


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which of the known names was probably meant, as the end of an error message."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not close:
        # `lr` is far from `learning_rate` by edit distance: fall back to the last part of the key.
        close = [key for key in known if key.rpartition(".")[2] == name.rpartition(".")[2]][:1]
    if close:
        return f"did you mean {close[0]!r}?"
    return f"expected one of: {', '.join(known)}"


def group_options(group: str) -> list[str]:
    """List the options of a config group, such as `tiny`, `small` and `base` of `size`."""
    folder = resources.files(_MODULE).joinpath(group)
    if not folder.is_dir():
        return []
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    )


def verb_groups(verb: str) -> dict[str, str]:
    """Read which config groups a verb is built from, and the default option of each."""
    text = resources.files(_MODULE).joinpath(f"{verb}.yaml").read_text(encoding="utf-8")
    entries = OmegaConf.select(OmegaConf.create(text), "defaults", default=[])
    return {
        str(group): str(option)
        for entry in entries
        if isinstance(entry, DictConfig)
        for group, option in entry.items()
    }


def composed(verb: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose and check the configuration of a verb.

    Args:
        verb: the name of a file in `configs/`, such as `train`.
        overrides: Hydra overrides, such as `size=tiny` or `size.dynamics.steps=100`. `+key=value`
            adds a key that the file does not have.

    Returns:
        The configuration, read-only in its set of keys.

    Raises:
        ConfigError: an override cannot be parsed, names an unknown key or option (the nearest
            known one is named), has a value of another type than the default, or a key without a
            default was left out.
    """
    parsed = _parsed(overrides)
    choices = [item for item in parsed if group_options(item.key_or_group)]
    for item in choices:
        _check_option(item)
    with initialize_config_module(_MODULE, version_base="1.3"):
        defaults = _compose(verb, [str(item.input_line) for item in choices])
        for item in parsed:
            if item not in choices and not item.is_add():
                _check_key(verb, item, defaults)
        cfg = _compose(verb, overrides)
    for item in parsed:
        _check_type(item, defaults, cfg)
    _check_complete(verb, cfg)
    return cfg


def _parsed(overrides: Sequence[str]) -> list[Override]:
    try:
        return list(OverridesParser.create().parse_overrides(list(overrides)))
    except HydraException as error:
        raise ConfigError(
            f"{' '.join(str(error).split())}. Overrides are written key=value; quote values with "
            "special characters, as in 'out=\"a (b)\"'"
        ) from error


def _compose(verb: str, overrides: Sequence[str]) -> DictConfig:
    try:
        return compose(config_name=verb, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(" ".join(str(error).split())) from error


def _check_option(item: Override) -> None:
    group, option = item.key_or_group, str(item.value())
    options = group_options(group)
    if option not in options:
        raise ConfigError(f"{group}={option} is unknown: {nearest(option, options)}")


def _check_key(verb: str, item: Override, defaults: DictConfig) -> None:
    key = item.key_or_group
    known = _keys(OmegaConf.to_container(defaults))
    if key not in known and not key.startswith("hydra."):
        raise ConfigError(
            f"{verb} has no key {key!r}: {nearest(key, known)} "
            f"(`worldmodel {verb} --help` lists all of them)"
        )


def _keys(values: Any, prefix: str = "") -> list[str]:
    """List the dotted names of all keys, groups of keys included."""
    if not isinstance(values, dict):
        return []
    names: list[str] = []
    for key, value in values.items():
        name = f"{prefix}{key!s}"
        names += [name, *_keys(value, f"{name}.")]
    return names


_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _check_type(item: Override, defaults: DictConfig, cfg: DictConfig) -> None:
    """Refuse a value that the verb could only fail on later, such as `episodes=many`."""
    key = item.key_or_group
    if key.startswith("hydra.") or item.is_delete() or item.is_add() or group_options(key):
        return
    default, value = (_value(source, key) for source in (defaults, cfg))
    if default is None or value is None or _fits(default, value):
        return
    expected = _TYPE_NAMES.get(type(default), "a list" if _is_list(default) else "a group of keys")
    raise ConfigError(
        f"{key}={value!r} does not fit: {expected} was expected, such as {default!r} (the default)"
    )


def _value(cfg: DictConfig, key: str) -> Any:
    if OmegaConf.is_missing(cfg, key):
        return None
    return OmegaConf.select(cfg, key)


def _is_list(value: Any) -> bool:
    return isinstance(value, ListConfig)


def _fits(default: Any, value: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, str):
        # A path or a name may look like a number: out=2024.
        return isinstance(value, str | int | float)
    if _is_list(default) and _is_list(value):
        return len(default) == 0 or all(_fits(default[0], element) for element in value)
    return isinstance(value, type(default))


def _check_complete(verb: str, cfg: DictConfig) -> None:
    missing = sorted(str(key) for key in OmegaConf.missing_keys(cfg))
    if missing:
        wanted = " ".join(f"{key}=..." for key in missing)
        raise ConfigError(
            f"{verb} needs {', '.join(missing)}: `worldmodel {verb} {wanted}` "
            f"(`worldmodel {verb} --help` says what each is)"
        )


def documented_keys(name: str) -> list[DocumentedKey]:
    """Read the keys of one configuration file with their comments.

    A key's comment stands on the lines above it, or behind it.

    Args:
        name: the file's name inside `configs/` without its suffix: `train`, or `size/tiny`.

    Returns:
        The keys in the order of the file, the `defaults` list left out.
    """
    text = resources.files(_MODULE).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    keys: list[DocumentedKey] = []
    parents: list[tuple[int, str]] = []
    above: list[str] = []
    for line in text.splitlines():
        content = line.strip()
        if content.startswith("#"):
            above.append(content.lstrip("# "))
            continue
        if content and not content.startswith("- ") and ":" in content:
            indent = len(line) - len(line.lstrip())
            key, _, rest = content.partition(":")
            default, _, behind = rest.strip().partition(" #") if "#" in rest else (rest, "", "")
            if default.startswith("#"):
                default, behind = "", default[1:]
            parents = [parent for parent in parents if parent[0] < indent]
            dotted = ".".join([*(parent[1] for parent in parents), key])
            parents.append((indent, key))
            comment = " ".join([*above, behind.strip()]).strip()
            keys.append(DocumentedKey(dotted, default.strip(), comment))
        above = []
    return [key for key in keys if key.name != "defaults"]
