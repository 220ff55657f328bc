"""How long the stages of a training took, over all of its resumes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from worldmodel.runs import RunDirectory

__all__ = ["Minutes"]

R = TypeVar("R")


class Minutes:
    """Seconds of the stages, kept in the run so that a resumed run adds to them.

    Beside the wall clock's they are counted as this process's own processor time: on a machine that
    others use as well, the two differ.

    Args:
        run: of the training.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        path = run.path / "seconds.json"
        known: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
        self.seconds: dict[str, float] = known.get("wall", {})
        self.cpu_seconds: dict[str, float] = known.get("cpu", {})

    def of(self, stage: str, work: Callable[[], R]) -> R:
        """Do the work of a stage and note how long it took."""
        with self.during(stage):
            return work()

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """Note how long what is done inside took, for a stage."""
        begun, used = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.note(stage, time.perf_counter() - begun, time.process_time() - used)

    def note(self, stage: str, seconds: float, cpu_seconds: float) -> None:
        """A stage took so much longer."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        self.cpu_seconds[stage] = self.cpu_seconds.get(stage, 0.0) + cpu_seconds
        self._run.write_json("seconds.json", {"wall": self.seconds, "cpu": self.cpu_seconds})

    def figures(self) -> dict[str, float]:
        """Minutes of each stage by the wall clock, `STAGE_minutes`, and `train_minutes` of all.

        `train_cpu_minutes` is the processor time of all.
        """
        minutes = {f"{stage}_minutes": seconds / 60 for stage, seconds in self.seconds.items()}
        return minutes | {"train_minutes": self.total(), "train_cpu_minutes": self.cpu_total()}

    def total(self) -> float:
        """Minutes of all stages by the wall clock."""
        return sum(self.seconds.values()) / 60

    def cpu_total(self) -> float:
        """Minutes of processor time of all stages."""
        return sum(self.cpu_seconds.values()) / 60
