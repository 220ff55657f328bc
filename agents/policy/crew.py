"""Who does independent jobs: this process, several processes of this machine, or ray's workers.

The same jobs give the same results whoever does them, as long as each follows from its own content
alone; results come back in the order of the jobs.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

import torch

from multimodal.errors import ConfigError, MissingExtraError, WorldModelError
from worldmodel.device import ENVIRONMENT_VARIABLE, choose_compute

__all__ = ["RAY", "Crew", "Result", "hired"]

RAY = "ray"
J_contra = TypeVar("J_contra", contravariant=True)
R = TypeVar("R")
Result = Callable[[], R]
"""Waits for one job and gives what came of it; what the job raised is raised here."""


class Crew(Protocol):
    """Does jobs."""

    def begin(self, work: Callable[[Any], R], jobs: Sequence[Any]) -> list[Result[R]]:
        """Begin with jobs; `work` and jobs have to be picklable."""
        ...


@contextmanager
def hired(workers: str | int) -> Iterator[Crew]:
    """A crew for the length of a block.

    Args:
        workers: "1" for this process, a greater number for so many processes, "ray" for the
            workers of a ray cluster: that of RAY_ADDRESS, else one that is started here.

    Raises:
        ConfigError: neither a number from 1 on nor "ray".
        MissingExtraError: ray is not installed.
    """
    asked = str(workers)
    if asked == RAY:
        with _ray() as crew:
            yield crew
        return
    if not asked.isdigit() or int(asked) < 1:
        raise ConfigError(
            f"workers={workers} is neither a number of processes from 1 on nor 'ray'."
        )
    if int(asked) == 1:
        yield _Alone()
        return
    context = multiprocessing.get_context("spawn")
    # Ctrl-C is meant for this process, which then ends the others.
    pool = ProcessPoolExecutor(int(asked), context, _settle, (_surroundings(), True))
    try:
        yield _Pool(pool)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Alone:
    def begin(self, work: Callable[[Any], R], jobs: Sequence[Any]) -> list[Result[R]]:
        return [_Later(work, job) for job in jobs]


class _Later(Generic[R]):
    """A job that is done when its result is asked for."""

    def __init__(self, work: Callable[[Any], R], job: Any) -> None:
        self._work, self._job = work, job

    def __call__(self) -> R:
        return self._work(self._job)


class _Pool:
    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def begin(self, work: Callable[[Any], R], jobs: Sequence[Any]) -> list[Result[R]]:
        futures = [self._pool.submit(work, job) for job in jobs]

        def waiting(index: int) -> Result[R]:
            def result() -> R:
                try:
                    return futures[index].result()
                except BrokenProcessPool as error:
                    raise WorldModelError(
                        "a worker process died (killed, or out of memory): run the same command "
                        "again with fewer workers."
                    ) from error

            return result

        return [waiting(index) for index in range(len(jobs))]


@contextmanager
def _ray() -> Iterator[Crew]:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            "workers=ray needs ray: `pip install 'worldmodel[ray]'`; workers=N takes processes of "
            "this machine."
        ) from error
    started = not ray.is_initialized()
    if started:
        local = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": len(os.sched_getaffinity(0))}
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", **local)
    try:
        yield _RayCrew(ray)
    finally:
        if started:
            ray.shutdown()


class _RayCrew:
    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def begin(self, work: Callable[[Any], R], jobs: Sequence[Any]) -> list[Result[R]]:
        ray, surroundings = self._ray, _surroundings()
        shared = ray.put(work)
        remote = ray.remote(_settled)
        handles = [remote.remote(shared, job, surroundings) for job in jobs]

        def waiting(index: int) -> Result[R]:
            def result() -> R:
                try:
                    found: R = ray.get(handles[index])
                except ray.exceptions.RayTaskError as error:
                    raise error.cause or error from error
                except ray.exceptions.RayError as error:
                    raise WorldModelError(
                        f"ray could not do a job ({error}): run the same command again."
                    ) from error
                return found

            return result

        return [waiting(index) for index in range(len(jobs))]


def _surroundings() -> tuple[str, int]:
    """What arithmetic depends on besides a job: device with format, and threads."""
    compute = choose_compute()
    return f"{compute.device}/{str(compute.dtype).rpartition('.')[2]}", torch.get_num_threads()


def _settle(surroundings: tuple[str, int], quiet: bool) -> None:
    if quiet:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ[ENVIRONMENT_VARIABLE], threads = surroundings
    torch.set_num_threads(threads)


def _settled(work: Callable[[Any], R], job: Any, surroundings: tuple[str, int]) -> R:
    _settle(surroundings, False)
    return work(job)
