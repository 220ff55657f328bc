"""Where a run writes: one folder per run, every file either whole or as it was before."""

import json
import math
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, SupportsFloat

from omegaconf import DictConfig, OmegaConf

from multimodal.atomic import atomic_write_bytes, disk_full_is_an_error
from multimodal.errors import ConfigError

__all__ = ["RunDirectory"]


class RunDirectory:
    """The folder of one run: config, history, checkpoints, report and final figures.

    Args:
        path: the folder; made when missing, together with its parents.

    Raises:
        ConfigError: `path` is a file.
        DiskFullError: the folder could not be made.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(
                f"out={self.path} is a file, a folder was expected: choose another out=DIR"
            )
        with disk_full_is_an_error(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    @classmethod
    def open(
        cls, verb: str, out: Path | str | None = None, root: Path | str = "runs"
    ) -> "RunDirectory":
        """Open `out`, or a fresh `root/<verb>/<time>` where none is named.

        Args:
            verb: the command's name, such as `train`.
            out: an existing or new folder; None for one named after the time of day.
            root: the folder that holds the folders named by time.

        Returns:
            The run's folder. A folder named by time is never shared by two runs.
        """
        if out is not None:
            return cls(out)
        parent = cls(Path(root) / verb).path
        name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        for attempt in range(1, 1000):
            path = parent / (name if attempt == 1 else f"{name}_{attempt}")
            try:
                with disk_full_is_an_error(path):
                    path.mkdir()
            except FileExistsError:
                continue
            return cls(path)
        raise ConfigError(f"{parent} already has a thousand runs named {name}: name one with out=")

    @property
    def checkpoints(self) -> Path:
        """The folder of the run's checkpoints; it may not exist yet."""
        return self.path / "checkpoints"

    def write_config(self, cfg: DictConfig) -> None:
        """Write `config.yaml`, resolved, so that the run can be repeated from it."""
        text = OmegaConf.to_yaml(cfg, resolve=True)
        atomic_write_bytes(self.path / "config.yaml", text.encode())

    def write_metrics(self, metrics: Mapping[str, SupportsFloat]) -> None:
        """Write `metrics.json`, the run's final figures, as one flat object.

        Args:
            metrics: name to number; NumPy and one-element torch numbers are accepted.

        Raises:
            ValueError: a figure is NaN or infinite: a figure that could not be measured is left
                out instead.
        """
        figures = {name: float(value) for name, value in metrics.items()}
        broken = sorted(name for name, value in figures.items() if not math.isfinite(value))
        if broken:
            raise ValueError(
                f"metrics must be finite numbers, but {', '.join(broken)} is NaN or infinite; "
                "leave out what could not be measured"
            )
        self.write_json("metrics.json", figures)

    def read_metrics(self) -> dict[str, float]:
        """Read the figures `write_metrics` wrote; empty where the run has not ended yet."""
        path = self.path / "metrics.json"
        if not path.exists():
            return {}
        metrics: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        return metrics

    def write_json(self, name: str, value: Any) -> Path:
        """Write `value` as readable, strict JSON (no NaN) and return the file's path.

        Raises:
            ValueError: a number inside `value` is NaN or infinite.
        """
        path = self.path / name
        text = json.dumps(value, indent=2, allow_nan=False) + "\n"
        atomic_write_bytes(path, text.encode())
        return path

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to `history.jsonl`.

        A number that is not finite (a diverged loss) is written as null, so that every line stays
        strict JSON. A line torn by a killed process is cut off first.

        Args:
            record: JSON values; NumPy and one-element torch numbers are accepted.

        Raises:
            DiskFullError: the disk or the quota is full; earlier lines are intact.
        """
        path = self.path / "history.jsonl"
        line = json.dumps({key: _strict(value) for key, value in record.items()}, allow_nan=False)
        with disk_full_is_an_error(path), path.open("ab+") as file:
            _cut_torn_line(file.fileno())
            file.write(line.encode() + b"\n")

    def history(self) -> list[dict[str, Any]]:
        """Read all whole lines of `history.jsonl`, oldest first."""
        path = self.path / "history.jsonl"
        if not path.exists():
            return []
        whole, _, _ = path.read_bytes().rpartition(b"\n")
        return [json.loads(line) for line in whole.splitlines()]


def _strict(value: Any) -> Any:
    """Convert numbers of array libraries to Python's and numbers that are not finite to None."""
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _cut_torn_line(descriptor: int) -> None:
    """Cut the file back to its last newline, so that the next line starts on its own."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    if end == 0 or os.pread(descriptor, 1, end - 1) == b"\n":
        return
    tail_bytes = min(end, 1 << 20)
    tail = os.pread(descriptor, tail_bytes, end - tail_bytes)
    os.ftruncate(descriptor, end - tail_bytes + tail.rfind(b"\n") + 1)
