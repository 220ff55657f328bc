"""Tasks are done once each, by as many processes as asked for, until somebody says stop."""

import os
import signal
from collections.abc import Iterator

import pytest

from envs.workforce import PendingSignal, deferred_signals, work_through
from multimodal.errors import DatasetError, WorldModelError


@pytest.fixture(autouse=True)
def _ctrl_c_arrives() -> Iterator[None]:
    """Shells start background commands, such as a whole test run, deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def double(item: int) -> int:
    return 2 * item


def threads(item: int) -> int:
    return int(os.environ["OMP_NUM_THREADS"])


def refuse(item: int) -> int:
    raise DatasetError(f"item {item} is refused")


def die(item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_done_once(workers: int) -> None:
    results: list[int] = []
    work_through(
        double, range(9), workers=workers, pending=PendingSignal(), on_result=results.append
    )
    assert sorted(results) == list(range(0, 18, 2))


def test_processes_use_one_thread_and_leave_our_settings_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    results: list[int] = []
    work_through(threads, range(2), workers=2, pending=PendingSignal(), on_result=results.append)
    assert results == [1, 1]
    assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_task_comes_through(workers: int) -> None:
    with pytest.raises(DatasetError, match="is refused"):
        work_through(
            refuse, range(4), workers=workers, pending=PendingSignal(), on_result=lambda _: None
        )


def test_a_process_that_dies_is_reported_with_what_to_do() -> None:
    with pytest.raises(WorldModelError, match="with fewer workers"):
        work_through(die, range(3), workers=2, pending=PendingSignal(), on_result=lambda _: None)


def interrupt(times: int, reached: list[int]) -> None:
    """Press Ctrl-C inside a block that holds it back, and note how far it came."""
    with deferred_signals() as pending:
        for press in range(times):
            signal.raise_signal(signal.SIGINT)
            assert pending
            reached.append(press)


def test_a_signal_waits_until_the_block_ends() -> None:
    reached: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt(1, reached)
    assert reached == [0]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_signal_does_not_wait() -> None:
    reached: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt(2, reached)
    assert reached == [0]


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with deferred_signals() as pending:
        signal.raise_signal(signal.SIGINT)
        assert not pending


def test_no_task_begins_after_a_signal() -> None:
    results: list[int] = []
    pending = PendingSignal()

    def stop(result: int) -> None:
        results.append(result)
        pending.number = signal.SIGINT

    work_through(double, range(100), workers=1, pending=pending, on_result=stop)
    assert results == [0]
