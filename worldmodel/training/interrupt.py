"""Ctrl-C and SIGTERM: finish the step and save, instead of losing the work since the last save."""

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Interrupt", "shield_worker"]

_log = logging.getLogger(__name__)


class Interrupt:
    """While entered, the first SIGINT or SIGTERM is only noted; a second SIGINT stops at once.

    Outside the main thread, where Python allows no signal handlers, it notes nothing.
    """

    def __init__(self) -> None:
        self._number: signal.Signals | None = None
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self._number is not None

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def raise_if_requested(self) -> None:
        """End as the noted signal would have, now that the work is safe; call it after leaving.

        Raises:
            KeyboardInterrupt: or what the caller's own handler of that signal raises.
        """
        if self._number is None:
            return
        if callable(signal.getsignal(self._number)):
            signal.raise_signal(self._number)
        raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._number = signal.Signals(number)
        _log.warning(
            "%s: finishing this step and saving a checkpoint; press Ctrl-C again to stop at once",
            self._number.name,
        )


def shield_worker(worker: int) -> None:
    """Keep a data-loading process alive through Ctrl-C, so that the last step can finish.

    Args:
        worker: number of the process, as the data loader gives it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
