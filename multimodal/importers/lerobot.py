"""Datasets in LeRobot's v3 layout: Parquet tables and MP4 files that each hold many episodes.

Source: the LeRobotDataset v3.0 format of https://github.com/huggingface/lerobot. `meta/info.json`
names the features and the path templates, `meta/episodes/**.parquet` says where each episode lies.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from multimodal.episode import Episode
from multimodal.errors import DatasetError
from multimodal.importers.decoding import decode_video
from multimodal.splits import split_of

__all__ = ["read_lerobot"]

Row = Mapping[str, Any]


def read_lerobot(
    root: Path | str, camera: str | None = None, size_px: int | None = 64
) -> Iterator[Episode]:
    """Read the episodes of a LeRobot v3 dataset, in order.

    LeRobot stores one action per frame; the last one leads to no frame and is left out. Numeric
    `observation.*` features become state, `next.reward`, `next.done` and `next.success` are taken
    where they exist, the first task is the instruction.

    Args:
        root: the dataset's folder, the one that holds `meta`.
        camera: the video feature to take; the first one when None.
        size_px: side of the frames, cut square from the middle and scaled; None leaves them alone.

    Yields:
        Episodes; the seed is the episode's index.

    Raises:
        DatasetError: a file is missing or damaged, the layout is another, or parts do not fit.
        ActionError: actions are not finite.
    """
    root = Path(root)
    info = _info(root)
    key = _camera(info, camera)
    rows = _episode_rows(root)
    for row in rows:
        try:
            yield _episode(root, info, key, row, size_px)
        except KeyError as error:
            raise DatasetError(
                f"{root} lacks {error} for episode {row.get('episode_index')}; its meta folder "
                "does not fit its data. Download or convert it again."
            ) from error


def _info(root: Path) -> dict[str, Any]:
    path = root / "meta" / "info.json"
    if not path.is_file():
        raise DatasetError(f"{path} is missing; {root} is no LeRobot dataset.")
    try:
        info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path} is no JSON ({error}); download the dataset again.") from error
    version = str(info.get("codebase_version"))
    if not version.startswith("v3."):
        raise DatasetError(
            f"{root} has LeRobot layout {version}, v3 is read; convert it with "
            "`python -m lerobot.datasets.v30.convert_dataset_v21_to_v30`."
        )
    return info


def _camera(info: Row, camera: str | None) -> str:
    cameras = [key for key, value in info["features"].items() if value["dtype"] == "video"]
    if not cameras or (camera is not None and camera not in cameras):
        raise DatasetError(
            f"there is no video feature {camera or ''!r}; the dataset has: "
            f"{', '.join(cameras) or 'none'}."
        )
    return camera or cameras[0]


def _episode_rows(root: Path) -> list[Row]:
    files = sorted((root / "meta" / "episodes").rglob("*.parquet"))
    if not files:
        raise DatasetError(f"{root / 'meta' / 'episodes'} holds no Parquet files; download again.")
    rows = [row for file in files for row in _table(file).to_pylist()]
    return sorted(rows, key=lambda row: int(row["episode_index"]))


def _table(path: Path, episode: int | None = None) -> pyarrow.Table:
    filters = None if episode is None else [("episode_index", "=", episode)]
    try:
        return pyarrow.parquet.read_table(path, filters=filters)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise DatasetError(
            f"{path} is missing or damaged ({error}); download the dataset again."
        ) from error


def _episode(root: Path, info: Row, camera: str, row: Row, size_px: int | None) -> Episode:
    index, length = int(row["episode_index"]), int(row["length"])
    data_path = root / info["data_path"].format(
        chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
    )
    table = _table(data_path, index).sort_by("frame_index")
    if len(table) != length or length < 2:
        raise DatasetError(
            f"{data_path} has {len(table)} rows of episode {index}, its meta data say {length} "
            "(two or more are needed); download or convert the dataset again."
        )
    video_path = root / info["video_path"].format(
        video_key=camera,
        chunk_index=row[f"videos/{camera}/chunk_index"],
        file_index=row[f"videos/{camera}/file_index"],
    )
    start_s = float(row[f"videos/{camera}/from_timestamp"])
    frames = decode_video(video_path, size_px, start_s, length)
    steps = length - 1
    columns = {name: table[name] for name in table.column_names}
    terminations = _flags(columns, "next.done", length)[:steps]
    # An episode is over where it says so for the first time; recorders often repeat the flag.
    terminations[:-1] = False
    success = np.zeros(length, np.bool_)
    success[1:] = _flags(columns, "next.success", length)[:steps]
    rewards = _numbers(columns["next.reward"]) if "next.reward" in columns else np.zeros(length)
    tasks = row.get("tasks") or [""]
    return Episode(
        frames=frames,
        actions=_matrix(columns["action"])[:steps].astype(np.float32),
        rewards=rewards.reshape(length)[:steps].astype(np.float32),
        terminations=terminations,
        truncations=(np.arange(steps) == steps - 1) & ~terminations,
        state=_state(info, columns),
        goal=np.zeros(0, np.float32),
        success=success,
        instruction=str(tasks[0]),
        captions=(),
        seed=index,
        split=split_of(index),
        extra={"source": root.name, "fps": info.get("fps")},
    )


def _state(info: Row, columns: Mapping[str, pyarrow.ChunkedArray]) -> dict[str, NDArray[Any]]:
    return {
        name: _matrix(columns[name])
        for name, feature in info["features"].items()
        if name.startswith("observation.")
        and feature["dtype"] not in ("video", "image", "string")
        and name in columns
    }


def _flags(
    columns: Mapping[str, pyarrow.ChunkedArray], name: str, length: int
) -> NDArray[np.bool_]:
    if name not in columns:
        return np.zeros(length, np.bool_)
    return _numbers(columns[name]).reshape(length).astype(np.bool_)


def _matrix(column: pyarrow.ChunkedArray) -> NDArray[Any]:
    """A column as (N,A), also when its rows are single numbers."""
    values = _numbers(column)
    return values.reshape(len(values), -1)


def _numbers(column: pyarrow.ChunkedArray) -> NDArray[Any]:
    values = np.asarray(column.to_pylist())
    if values.dtype.kind not in "biuf":
        raise DatasetError(
            "a numeric column holds gaps or rows of unequal length; repair the data."
        )
    return values
