"""What happened in an episode, as JSON lines and frames, and how to let it happen again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from multimodal.atomic import disk_full_is_an_error
from multimodal.errors import DatasetError, FrameError

__all__ = ["Replayed", "Trace", "read_trace", "replay"]

LINES = "trace.jsonl"
FRAMES = "frames"


class Trace:
    """Writes one episode; every line is on disk when `note` comes back.

    Args:
        folder: made where it is missing; a trace that lies there already is begun anew.

    Raises:
        DiskFullError: the disk is full.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        with disk_full_is_an_error(self.folder):
            (self.folder / FRAMES).mkdir(parents=True, exist_ok=True)
            for old in (self.folder / FRAMES).glob("*.png"):
                old.unlink()
            self._file = (self.folder / LINES).open("w", encoding="utf-8")
        self._begin = time.perf_counter()
        self._ended = False

    def note(self, event: str, **values: Any) -> None:
        """Append one event; `t_s` is the time since the trace was opened."""
        line = {"t_s": round(time.perf_counter() - self._begin, 4), "event": event, **values}
        with disk_full_is_an_error(self.folder):
            self._file.write(json.dumps(line, allow_nan=False) + "\n")
            self._file.flush()
        self._ended = self._ended or event == "end"

    def frame(self, step: int, frame: NDArray[np.uint8]) -> None:
        """Keep what was seen after `step` actions, uint8 (H, W, 3).

        Raises:
            FrameError: no such picture.
        """
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise FrameError(f"A frame must be uint8 (H, W, 3), got {frame.dtype} {frame.shape}.")
        with disk_full_is_an_error(self.folder):
            Image.fromarray(frame).save(self.folder / FRAMES / f"{step:05d}.png", compress_level=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._ended:
            why = "interrupted" if error is None else f"{type(error).__name__}: {error}"
            self.note("end", status="broken_off", why=why)
        self._file.close()


def read_trace(folder: Path | str) -> list[dict[str, Any]]:
    """The events of a trace, oldest first.

    Raises:
        DatasetError: there is none, or it is damaged.
    """
    path = Path(folder) / LINES
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise DatasetError(
            f"There is no trace in {folder}; name the folder that holds {LINES}."
        ) from error
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path} is damaged: {error}.") from error


class Replayed(NamedTuple):
    """How many actions were taken again, and how many frames, the first included, are bit-equal."""

    steps: int
    equal: int


def replay(folder: Path | str, world: gym.Env[Any, Any]) -> Replayed:
    """Take a trace's actions again from the same start and compare the frames.

    An episode that began where others had ended notes what the world had been told `before`.

    Args:
        folder: of the trace.
        world: an environment made with the id and options that the trace's first line names.

    Raises:
        DatasetError: no trace, or one that lacks its beginning.
    """
    events = read_trace(folder)
    if not events or events[0]["event"] != "start":
        raise DatasetError(f"The trace in {folder} lacks its beginning.")
    frame, _ = world.reset(seed=int(events[0]["seed"]))
    for action in events[0].get("before", []):
        frame = world.step(np.array(action, np.float32))[0]
    ticks = [event for event in events if event["event"] == "tick"]
    steps = (world.step(np.array(tick["action"], np.float32))[0] for tick in ticks)
    frames = [frame, *steps]
    equal = sum(_kept(folder, step, frame) for step, frame in enumerate(frames))
    return Replayed(len(ticks), equal)


def _kept(folder: Path | str, step: int, frame: NDArray[np.uint8]) -> bool:
    path = Path(folder) / FRAMES / f"{step:05d}.png"
    return path.exists() and bool(np.array_equal(np.asarray(Image.open(path)), frame))
