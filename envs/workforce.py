"""How a list of tasks is worked through by several processes that can be stopped at any time."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait as wait_for_any
from types import FrameType

from multimodal.errors import WorldModelError

__all__ = ["PendingSignal", "deferred_signals", "work_through"]

# One core per process: threads of linear algebra or software rendering would fight for cores.
# Mesa draws in the calling thread when it has none of its own.
_SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LP_NUM_THREADS": "0",
}
_POLL_S = 0.2


class PendingSignal:
    """Whether Ctrl-C or SIGTERM arrived, and which."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None


@contextmanager
def deferred_signals() -> Iterator[PendingSignal]:
    """Hold Ctrl-C and SIGTERM back until the block ends, then deliver them to who had them before.

    A second one is delivered at once, one that is ignored stays so. Outside the main thread, where
    Python delivers no signals, nothing is held back.
    """
    pending = PendingSignal()
    if threading.current_thread() is not threading.main_thread():
        yield pending
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # What a shell or `nohup` told this process to ignore stays ignored.
    before = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}

    def remember(number: int, frame: FrameType | None) -> None:
        pending.number = number
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, remember)
    try:
        yield pending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if pending.number is not None:
        signal.raise_signal(pending.number)


def work_through(
    task: Callable[[int], int],
    items: Sequence[int],
    *,
    workers: int,
    pending: PendingSignal,
    on_result: Callable[[int], None],
) -> None:
    """Call `task` with every item, in fresh processes.

    Args:
        task: a picklable function of an item.
        items: what to call it with.
        workers: how many processes; with one, this process does it.
        pending: once it is set, tasks under way are finished and no others begun.
        on_result: called here with the result of each task, in the order they finish.

    Raises:
        WorldModelError: a process died; what the tasks themselves raise comes through unchanged.
    """
    if workers == 1 or len(items) == 1:
        for item in items:
            if pending:
                return
            on_result(task(item))
    elif items:
        _in_processes(task, items, min(workers, len(items)), pending, on_result)


def _in_processes(
    task: Callable[[int], int],
    items: Sequence[int],
    workers: int,
    pending: PendingSignal,
    on_result: Callable[[int], None],
) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _end_with_parent) as pool:
        # Submitting is what starts the processes, one at a time.
        with _inherited_by_workers():
            futures: set[Future[int]] = {pool.submit(task, item) for item in items}
        try:
            while futures:
                if pending:
                    futures = {future for future in futures if not future.cancel()}
                done, futures = wait(futures, _POLL_S, FIRST_COMPLETED)
                for future in done:
                    if not future.cancelled():
                        on_result(future.result())
        except BrokenProcessPool as error:
            if pending:  # SIGTERM to the whole group reached the workers too
                return
            raise WorldModelError(
                "a worker process died (killed, or out of memory). What was finished is kept: "
                "run the same command again, with fewer workers if memory is short."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _inherited_by_workers() -> Iterator[None]:
    """Start processes single-threaded and deaf to the terminal's Ctrl-C, meant for the parent."""
    threads = {name: os.environ.get(name) for name in _SINGLE_THREADED}
    # Started first, because it lifts the mask that is set next.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(_SINGLE_THREADED)
    try:
        yield
    finally:
        for name, value in threads.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _end_with_parent() -> None:
    """End this process when its parent is gone, even when that was killed and could not say so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(sentinel: int) -> None:
        wait_for_any([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
