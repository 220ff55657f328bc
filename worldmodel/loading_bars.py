"""Progress bars of libraries, meant for downloads of minutes, kept off the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["without_bars"]


@contextmanager
def without_bars(logging: Any) -> Iterator[None]:
    """Load without progress bars; they are as they were after it.

    Args:
        logging: the module `utils.logging` of diffusers or of transformers.
    """
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
