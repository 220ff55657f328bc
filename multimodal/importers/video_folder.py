"""A plain folder of videos, each with its actions beside it or without any.

kitchen/
    monday.mp4      the frames
    monday.npy      optional: actions (T,A), or monday.csv with one row per action
    monday.txt      optional: the instruction
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.episode import Episode
from multimodal.errors import DatasetError
from multimodal.importers.decoding import decode_video
from multimodal.splits import split_of

__all__ = ["read_video_folder"]

_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v"})


def read_video_folder(
    folder: Path | str, size_px: int | None = 64, action_dim: int = 1
) -> Iterator[Episode]:
    """Read every video of a folder as an episode, in the order of their names.

    A video without actions gets zeros and `extra["actions_known"] = False`.

    Args:
        folder: where the videos lie.
        size_px: side of the frames, cut square from the middle and scaled; None leaves them alone.
        action_dim: A of videos without actions.

    Yields:
        Episodes with rewards of zero, cut off at their end; the seed is the video's number.

    Raises:
        DatasetError: there are no videos, one cannot be decoded, or actions do not fit its frames.
        ActionError: actions are not finite.
    """
    folder = Path(folder)
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    videos = [path for path in found if path.suffix.lower() in _SUFFIXES]
    if not videos:
        raise DatasetError(
            f"{folder} holds no videos; expected files ending in {', '.join(sorted(_SUFFIXES))}."
        )
    for number, video in enumerate(videos):
        frames = decode_video(video, size_px)
        if len(frames) < 2:
            raise DatasetError(f"{video} has one frame; an episode needs two or more. Take it out.")
        actions = _actions(video, len(frames))
        text = video.with_suffix(".txt")
        yield _episode(
            frames,
            np.zeros((len(frames) - 1, action_dim), np.float32) if actions is None else actions,
            instruction=text.read_text(encoding="utf-8").strip() if text.exists() else "",
            seed=number,
            extra={"source": video.name, "actions_known": actions is not None},
        )


def _episode(
    frames: NDArray[np.uint8],
    actions: NDArray[np.float32],
    instruction: str,
    seed: int,
    extra: dict[str, Any],
) -> Episode:
    steps = len(actions)
    return Episode(
        frames=frames,
        actions=actions,
        rewards=np.zeros(steps, np.float32),
        terminations=np.zeros(steps, np.bool_),
        truncations=np.arange(steps) == steps - 1,
        state={},
        goal=np.zeros(0, np.float32),
        success=np.zeros(steps + 1, np.bool_),
        instruction=instruction,
        captions=(),
        seed=seed,
        split=split_of(seed),
        extra=extra,
    )


def _actions(video: Path, frames: int) -> NDArray[np.float32] | None:
    """The actions beside a video as float32 (frames - 1, A); None when there are none."""
    binary, table = video.with_suffix(".npy"), video.with_suffix(".csv")
    path = binary if binary.exists() else table
    if not path.exists():
        return None
    try:
        raw = np.load(path, allow_pickle=False) if path == binary else _table(path)
        actions = np.asarray(raw, np.float32)
    except (ValueError, OSError) as error:
        raise DatasetError(
            f"{path} holds no array of numbers ({error}); write one row of numbers per action."
        ) from error
    if actions.ndim == 1:
        actions = actions[:, None]
    # Robots often log an action beside the last frame too; nothing shows where it led.
    if actions.ndim != 2 or len(actions) not in (frames - 1, frames):
        raise DatasetError(
            f"{path} has shape {actions.shape} and the video {frames} frames; expected "
            f"({frames - 1}, A): one action between each frame and the next."
        )
    return actions[: frames - 1]


def _table(path: Path) -> NDArray[np.float64]:
    """Rows of comma-separated numbers, below a header line if there is one."""
    lines = path.read_text(encoding="utf-8").split("\n")
    try:
        [float(cell) for cell in lines[0].split(",")]
    except ValueError:
        lines = lines[1:]
    return np.loadtxt(lines, delimiter=",", ndmin=2)
