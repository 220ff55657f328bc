"""How a file is written whole or not at all, and how a full disk is recognised."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from multimodal.errors import DiskFullError

__all__ = ["atomic_path", "atomic_write_bytes", "disk_full_is_an_error", "require_free_space"]

_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# HDF5 reports a failed write in words and does not always set errno.
_FULL_WORDS = ("No space left", "Disk quota exceeded", "File too large", "errno = 28")


@contextlib.contextmanager
def disk_full_is_an_error(target: Path) -> Iterator[None]:
    """Turn "no space left" from the system or from HDF5 into a `DiskFullError`.

    Args:
        target: what is being written, for the message.

    Raises:
        DiskFullError: the disk, the quota or the file size limit was reached.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = getattr(error, "errno", None)
        if number in _FULL_ERRNOS or any(words in str(error) for words in _FULL_WORDS):
            raise DiskFullError(
                f"no space left while writing {target}; what was there before is intact. "
                "Free some space and run the same command again: it continues where it stopped."
            ) from error
        raise


@contextlib.contextmanager
def atomic_path(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`, moved onto it when the block ends without an error.

    A process killed inside the block leaves `path` as it was.

    Args:
        path: the file to create or replace.
        durable: also wait until the content is on the disk, so that a power cut cannot undo it.

    Raises:
        DiskFullError: the disk filled up; the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with disk_full_is_an_error(path):
            yield temporary
            if durable:
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: Path, content: bytes | memoryview, *, durable: bool = True) -> None:
    """Write a file whole or not at all.

    Raises:
        DiskFullError: the disk filled up; an earlier file at `path` is intact.
    """
    with atomic_path(path, durable=durable) as temporary:
        temporary.write_bytes(content)


def require_free_space(directory: Path, size_bytes: int) -> None:
    """Refuse early to start a write that cannot fit.

    Raises:
        DiskFullError: fewer than `size_bytes` bytes are free where `directory` lies.
    """
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes < size_bytes:
        raise DiskFullError(
            f"{directory} needs {size_bytes / 1e9:.2f} GB and {free_bytes / 1e9:.2f} GB are free; "
            "nothing was changed. Free some space and run the same command again."
        )
