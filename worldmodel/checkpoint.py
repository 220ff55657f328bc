"""Checkpoints on disk: safetensors and JSON under a SHA-256 manifest, whole or not there at all.

Nothing is ever unpickled from a checkpoint, and nothing is loaded from one before `verify` has
compared every byte with the manifest that was written last.
"""

import difflib
import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multimodal.errors import CheckpointError
from worldmodel.durable import atomic_directory, disk_full_named

__all__ = [
    "MANIFEST",
    "atomic_directory",
    "newest_complete",
    "resolve",
    "shipped",
    "shipped_names",
    "verify",
    "write_manifest",
]

MANIFEST = "manifest.json"
FORMAT = 1
# Suffixes of formats that run code when they are loaded.
FORBIDDEN_SUFFIXES = frozenset(
    {".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth", ".py"}
)
_SHIPPED = Path(__file__).parent / "checkpoints"
_GET_ANOTHER = "Restore the folder from where it came, or use another checkpoint"

_log = logging.getLogger(__name__)


def write_manifest(
    directory: Path | str, kind: str, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write `manifest.json` over every file of a folder; call it last, when all else is written.

    Configs forget the folder that they were once loaded from: it says something about a machine
    and nothing about the model.

    Args:
        directory: the folder, with all its files in place.
        kind: what the folder holds, such as `pipeline` or `training`.
        extra: further JSON values to keep in the manifest (steps, seed, dataset id, ...).

    Returns:
        The manifest as written.

    Raises:
        CheckpointError: a file has a suffix of a format that runs code when it is loaded, or
            `extra` uses a reserved name.
        DiskFullError: the disk or the quota is full.
    """
    directory = Path(directory)
    extra = dict(extra or {})
    if reserved := {"format", "kind", "files"} & extra.keys():
        raise CheckpointError(
            f"the manifest's own names {sorted(reserved)} cannot be given as extra"
        )
    for config in directory.rglob("config.json"):
        _forget_origin(config)
    files = {
        name: {"sha256": _sha256(directory / name), "bytes": (directory / name).stat().st_size}
        for name in _files(directory)
    }
    _refuse_forbidden(directory, files)
    manifest = {"format": FORMAT, "kind": kind, **extra, "files": files}
    with disk_full_named(directory):
        text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
        (directory / MANIFEST).write_text(text, encoding="utf-8")
    return manifest


def verify(directory: Path | str, kind: str | None = None) -> dict[str, Any]:
    """Compare a checkpoint with its manifest, byte by byte.

    Args:
        directory: the checkpoint's folder.
        kind: the kind it has to be; None accepts every kind.

    Returns:
        The manifest.

    Raises:
        CheckpointError: there is no such folder or no manifest, or a file is missing, truncated,
            altered, not named in the manifest or of a format that runs code when it is loaded, or
            the checkpoint is of another kind. The message names the file.
    """
    directory = Path(directory)
    manifest = _read_manifest(directory)
    if kind is not None and manifest["kind"] != kind:
        raise CheckpointError(
            f"{directory} is a checkpoint of kind {manifest['kind']!r}, {kind!r} was expected: "
            f"name a folder that holds a {kind}"
        )
    recorded = manifest["files"]
    present = _files(directory)
    _refuse_forbidden(directory, present)
    for name, record in recorded.items():
        _compare(directory, name, record)
    for name in present:
        if name not in recorded:
            raise CheckpointError(
                f"{directory / name} is not named in {MANIFEST}: a checkpoint holds nothing that "
                "its manifest does not name. Move that file elsewhere"
            )
    return manifest


def newest_complete(directory: Path | str) -> Path | None:
    """Find the newest checkpoint below a folder that is whole.

    Newest is the one with the highest number at the end of its name (`step-00000200`). Checkpoints
    that are torn or altered are passed over, each with a warning that names it.

    Args:
        directory: the folder that holds the checkpoints; it may not exist.

    Returns:
        The checkpoint's folder, or None where there is none that is whole.
    """
    directory = Path(directory)
    if not directory.is_dir():
        return None
    found: list[tuple[int, Path]] = []
    for path in directory.iterdir():
        number = re.search(r"(\d+)$", path.name)
        if number and path.is_dir() and not path.name.startswith("."):
            found.append((int(number.group()), path))
    for _, path in sorted(found, reverse=True):
        try:
            verify(path)
        except CheckpointError as error:
            _log.warning("passing over the checkpoint %s: %s", path, error)
        else:
            return path
    return None


def shipped_names() -> list[str]:
    """The names of the checkpoints that come with the package."""
    if not _SHIPPED.is_dir():
        return []
    return sorted(path.parent.name for path in _SHIPPED.glob(f"*/{MANIFEST}"))


def shipped(name: str) -> Path:
    """The folder of a checkpoint that comes with the package.

    Raises:
        CheckpointError: no checkpoint of that name is shipped; the message lists those that are.
    """
    names = shipped_names()
    if name in names:
        return _SHIPPED / name
    nearest = difflib.get_close_matches(name, names, n=1)
    guess = f" Did you mean {nearest[0]!r}?" if nearest else ""
    listing = ", ".join(names) if names else "none in this installation"
    raise CheckpointError(
        f"no checkpoint is called {name!r}. Shipped: {listing}.{guess} "
        "For a folder of your own, give its path"
    )


def resolve(name_or_dir: str | os.PathLike[str]) -> Path:
    """Find a checkpoint by a shipped name or by the path of a folder.

    A bare name means the shipped checkpoint even where the working directory happens to hold a
    folder of that name; write `./name` for the folder.

    Raises:
        CheckpointError: neither a shipped name nor a folder; the message lists the shipped names.
    """
    text = str(name_or_dir)
    if text in shipped_names():
        return shipped(text)
    path = Path(name_or_dir).expanduser()
    if path.is_dir():
        return path
    if isinstance(name_or_dir, Path) or len(path.parts) > 1 or text.startswith((".", "~")):
        raise CheckpointError(
            f"there is no checkpoint folder {path}. Give the path of a folder with a {MANIFEST}, "
            f"or one of the shipped names: {', '.join(shipped_names()) or 'none'}"
        )
    return shipped(text)


def _read_manifest(directory: Path) -> dict[str, Any]:
    if not directory.is_dir():
        raise CheckpointError(f"there is no checkpoint folder {directory}. Check the path")
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} is missing: the folder is not a checkpoint, or its saving was cut short. "
            f"{_GET_ANOTHER}"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}). {_GET_ANOTHER}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a manifest of format {FORMAT}: the checkpoint was written by another "
            f"version. {_GET_ANOTHER}"
        )
    if not isinstance(manifest.get("kind"), str) or not _records_are_sound(manifest.get("files")):
        raise CheckpointError(f"{path} lacks its kind or its list of files. {_GET_ANOTHER}")
    return manifest


def _records_are_sound(files: Any) -> bool:
    """Whether the list of files is well formed and stays inside the checkpoint's own folder."""
    return isinstance(files, dict) and all(
        isinstance(record, dict)
        and isinstance(record.get("sha256"), str)
        and isinstance(record.get("bytes"), int)
        and not Path(name).is_absolute()
        and ".." not in Path(name).parts
        for name, record in files.items()
    )


def _compare(directory: Path, name: str, record: Mapping[str, Any]) -> None:
    path = directory / name
    if not path.is_file():
        raise CheckpointError(f"{path} is missing, though {MANIFEST} names it. {_GET_ANOTHER}")
    size = path.stat().st_size
    if size != record["bytes"]:
        how = "truncated" if size < record["bytes"] else "too long"
        raise CheckpointError(
            f"{path} is {how}: {size} bytes, {record['bytes']} were expected. {_GET_ANOTHER}"
        )
    if _sha256(path) != record["sha256"]:
        raise CheckpointError(
            f"{path} was altered: its SHA-256 is not the one in {MANIFEST}. {_GET_ANOTHER}"
        )


def _refuse_forbidden(directory: Path, names: Mapping[str, Any] | list[str]) -> None:
    for name in names:
        if Path(name).suffix.lower() in FORBIDDEN_SUFFIXES:
            raise CheckpointError(
                f"{directory / name} is of a format that can run code when it is loaded: a "
                "checkpoint holds safetensors and JSON only. Remove the file or convert it"
            )


def _files(directory: Path) -> list[str]:
    """The relative names of all files below a folder but the manifest."""
    names = (
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    )
    return sorted(name for name in names if name != MANIFEST)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _forget_origin(config: Path) -> None:
    """Take out what diffusers and transformers write of a model's former place."""
    values = json.loads(config.read_text(encoding="utf-8"))
    if isinstance(values, dict) and values.pop("_name_or_path", None) is not None:
        with disk_full_named(config.parent):
            config.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
