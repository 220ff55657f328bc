"""How fast things are, compared fairly on a machine that others may be using too."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Speed", "count_for", "take_turns"]


@dataclass(frozen=True)
class Speed:
    """How many units per second, over the rounds of a measurement.

    Attributes:
        median: the middle round; what a user of this machine gets.
        best: the fastest round; what the machine can do when left alone.
    """

    median: float
    best: float


def count_for(seconds: float, work: Callable[[], int]) -> float:
    """Call `work` again and again for a time, at least once.

    Args:
        seconds: how long.
        work: does some units of work and returns how many.

    Returns:
        Units per second.
    """
    done = 0
    started_s = time.perf_counter()
    while True:
        done += work()
        elapsed_s = time.perf_counter() - started_s
        if elapsed_s >= seconds:
            return done / elapsed_s


def take_turns(
    contestants: Mapping[str, Callable[[float], float]], seconds: float, rounds: int = 5
) -> dict[str, Speed]:
    """Measure several things in turn, so that a slow spell of the machine meets all of them.

    Args:
        contestants: name to a function that works for the given seconds and returns units per
            second, such as `functools.partial(count_for, work=...)`.
        seconds: time each of them gets in all.
        rounds: turns each of them gets.

    Returns:
        The speed of each, after one short turn to warm up.
    """
    for turn in contestants.values():
        turn(seconds / rounds / 4)
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, turn in contestants.items():
            speeds[name].append(turn(seconds / rounds))
    return {name: Speed(statistics.median(all_), max(all_)) for name, all_ in speeds.items()}
