"""Writing a whole folder so that a kill or a full disk leaves either the old one or the new one."""

import ctypes
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from multimodal.atomic import disk_full_is_an_error

__all__ = ["atomic_directory", "disk_full_named", "remove_directory", "remove_leftovers"]

_PARTIAL = ".partial"
_DOOMED = ".doomed"


@contextmanager
def disk_full_named(path: Path) -> Iterator[None]:
    """Turn "no space left", from safetensors too, into a DiskFullError that says what to do.

    Args:
        path: what is being written, for the message.

    Raises:
        DiskFullError: the disk, the quota or the process's file-size limit is exhausted.
    """
    with disk_full_is_an_error(path):
        try:
            yield
        except SafetensorError as error:
            # Written in Rust, it gives the system's error number in its message only.
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number.group(1)), str(error), str(path)) from error


@contextmanager
def atomic_directory(target: Path | str) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when the block ends well.

    Every file is on the disk before the rename, so a reader, a process killed at any moment and a
    machine that loses power see either the old folder or the new one. An existing target is
    replaced as a whole.

    Args:
        target: the folder to write. Its parents are made when missing.

    Yields:
        The temporary folder to write into.

    Raises:
        DiskFullError: the disk or the quota is full; the old target is intact.
    """
    target = Path(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}{_PARTIAL}")
    with disk_full_named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            yield temporary
            _sync_tree(temporary)
            _put_in_place(temporary, target)
            _sync(target.parent)
        finally:
            # After an exchange this is the old target, after a failure the unfinished new one.
            shutil.rmtree(temporary, ignore_errors=True)


def remove_directory(directory: Path) -> None:
    """Remove a folder that a kill must not leave half removed under its own name."""
    doomed = directory.with_name(f".{directory.name}.{os.getpid()}{_DOOMED}")
    directory.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def remove_leftovers(parent: Path) -> None:
    """Remove what killed processes left in `parent` of folders they were writing or removing.

    Folders of processes that still run are left alone.
    """
    for path in parent.glob(".*"):
        owner = re.search(rf"\.(\d+)(?:{_PARTIAL}|{_DOOMED})$", path.name)
        if owner and not _runs(int(owner.group(1))):
            shutil.rmtree(path, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def _put_in_place(new: Path, target: Path) -> None:
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        remove_directory(target)
        new.rename(target)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step; False where the system or the file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
    failed: int = renameat2(here, os.fsencode(first), here, os.fsencode(second), exchange)
    return failed == 0


def _sync_tree(directory: Path) -> None:
    for path in directory.rglob("*"):
        _sync(path)
    _sync(directory)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
