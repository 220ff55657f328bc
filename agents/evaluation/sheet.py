"""What an evaluation has found so far, and how it is written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from agents.evaluation.decisions import Decided
from agents.evaluation.page import TARGETS, Clip, verdict, write_page
from worldmodel.intervals import Interval, ratio_interval
from worldmodel.runs import RunDirectory
from worldmodel.typed_command import typed_command

__all__ = ["Sheet"]

_SHOWN = 8


@dataclass
class Sheet:
    """Figures with their intervals, decisions and clips.

    Attributes:
        cfg: the verb's configuration.
        directory: where everything is written.
        figures: name to value.
        intervals: of those that are means over cases.
        by_seed: of those that were measured with several seeds, the value with each.
        decisions: some to show.
        clips: some to show.
    """

    cfg: DictConfig
    directory: RunDirectory
    figures: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    by_seed: dict[str, list[float]] = field(default_factory=dict)
    decisions: list[Decided] = field(default_factory=list)
    clips: list[Clip] = field(default_factory=list)

    def mean(
        self, name: str, values: NDArray[np.float64], over: NDArray[np.float64] | None = None
    ) -> None:
        """Note a mean over cases, or a ratio of sums, with its interval; nothing without cases."""
        interval = ratio_interval(values, over, resamples=int(self.cfg.resamples))
        if interval is not None:
            self.figures[name] = interval.value
            self.intervals[name] = interval

    def mean_over_seeds(self, name: str, values: NDArray[np.float64]) -> None:
        """Note a mean over tasks that were tried with several seeds; nothing without tasks.

        Tries of one task are no independent cases: the interval is over tasks.

        Args:
            name: of the figure.
            values: (tasks, seeds).
        """
        if len(values):
            self.mean(name, values.mean(1))
            self.by_seed[name] = values.mean(0).tolist()

    def remember(self, decisions: list[Decided], right: str) -> None:
        """Keep a few of a set for the page, wrong ones first."""
        self.decisions += sorted(decisions, key=lambda each: each.answer == right)[:_SHOWN]

    def show(self, clip: Clip) -> None:
        """Keep some clips: as many failures as successes where there are enough."""
        most = int(self.cfg.clips)
        failed = sum(not each.episode.success for each in self.clips)
        well = len(self.clips) - failed
        if well < (most + 1) // 2 if clip.episode.success else failed < most // 2:
            self.clips.append(clip)

    def write(self) -> None:
        """Write `metrics.json`, `report.json` and `index.html`, and print the table."""
        self.directory.write_metrics(self.figures)
        report: dict[str, dict[str, Any]] = {}
        for name, value in self.figures.items():
            report[name] = {"value": value}
            if name in self.intervals:
                report[name] |= self.intervals[name]._asdict()
            if name in self.by_seed:
                report[name]["by_seed"] = self.by_seed[name]
            if name in TARGETS:
                report[name]["target"] = " ".join(map(str, TARGETS[name]))
        self.directory.write_json("report.json", report)
        command = typed_command("agent", self.cfg, always=("mode", "tasks", "seeds"))
        page = write_page(
            self.directory.path,
            command,
            self.figures,
            self.intervals,
            self.by_seed,
            self.clips,
            self.decisions,
        )
        table = Table("figure", "measured", "target", title=str(page))
        for name, value in self.figures.items():
            target = " ".join(map(str, TARGETS[name])) if name in TARGETS else ""
            style = {"missed": "red", "met": "green"}.get(verdict(name, value), "")
            table.add_row(name, f"{value:.4g}", target, style=style)
        Console(stderr=True).print(table)
