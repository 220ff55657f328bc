"""The progress bar on a terminal, and plain lines where there is none (a log file, a CI job)."""

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["TrainingProgress"]

_SHOWN = ("loss", "validation_loss", "samples_per_s")


class TrainingProgress:
    """Step, time left and the newest figures of one run.

    Args:
        name: what is being trained.
        steps: all steps.
        start: steps already done.
        visible: False on all but the first process.
        console: where to write; standard error by default.
    """

    def __init__(
        self,
        name: str,
        steps: int,
        start: int = 0,
        visible: bool = True,
        console: Console | None = None,
    ) -> None:
        self._name, self._steps, self._start, self._visible = name, steps, start, visible
        self._console = console or Console(stderr=True)
        self._started_s = time.perf_counter()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            disable=not (visible and self._console.is_terminal),
        )
        self._task = self._bar.add_task(name, total=steps, completed=start, figures="")

    def __enter__(self) -> "TrainingProgress":
        self._started_s = time.perf_counter()
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self, step: int) -> None:
        """Show that `step` steps are done."""
        self._bar.update(self._task, completed=step)

    def show(self, row: Mapping[str, float]) -> None:
        """Show the figures of a line of the history."""
        if not self._visible:
            return
        figures = "  ".join(f"{key} {row[key]:.4g}" for key in _SHOWN if key in row)
        if self._console.is_terminal:
            self._bar.update(self._task, figures=figures)
            return
        step = int(row["step"])
        per_step_s = (time.perf_counter() - self._started_s) / max(1, step - self._start)
        left_min = per_step_s * (self._steps - step) / 60
        # Not through rich: a pipe has no width to wrap at.
        print(
            f"{self._name} {step}/{self._steps}  {figures}  {left_min:.1f} min left",
            file=self._console.file,
            flush=True,
        )
