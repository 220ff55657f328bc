"""Real video files and a real LeRobot v3 folder come in as episodes."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from multimodal.errors import ActionError, DatasetError
from multimodal.importers import read_lerobot, read_video_folder
from multimodal.importers.decoding import decode_video, square
from multimodal.store import EpisodeStore
from tests.multimodal.episodes import assert_same

CAMERA = "observation.images.top"


def shade(index: int) -> int:
    """A brightness that tells frame from frame even after lossy coding."""
    return 20 + 9 * index


def write_video(path: Path, shades: list[int], fps: int = 10, size: tuple[int, int] = (64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for value in shades:
            picture = np.full((size[1], size[0], 3), value, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def shades_of(frames: np.ndarray) -> list[float]:
    return frames.reshape(len(frames), -1).mean(1).tolist()


def test_a_video_without_actions_becomes_an_episode_that_says_so(tmp_path: Path) -> None:
    write_video(tmp_path / "b.mp4", [shade(i) for i in range(6)])
    write_video(tmp_path / "a.mp4", [shade(i) for i in range(4)])
    first, second = read_video_folder(tmp_path, size_px=32)
    assert (len(first), len(second)) == (3, 5)
    assert second.frames.shape == (6, 32, 32, 3)
    assert shades_of(second.frames) == pytest.approx([shade(i) for i in range(6)], abs=4)
    assert second.extra == {"source": "b.mp4", "actions_known": False}
    assert not second.actions.any()
    assert second.truncations.tolist() == [False] * 4 + [True]


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
@pytest.mark.parametrize("extra_rows", [0, 1])
def test_actions_and_instruction_beside_a_video_belong_to_it(
    tmp_path: Path, suffix: str, extra_rows: int
) -> None:
    write_video(tmp_path / "a.mp4", [shade(i) for i in range(5)])
    actions = np.arange(2 * (4 + extra_rows), dtype=np.float32).reshape(-1, 2)
    if suffix == ".npy":
        np.save(tmp_path / "a.npy", actions)
    else:
        np.savetxt(tmp_path / "a.csv", actions, delimiter=",", header="x,y", comments="")
    (tmp_path / "a.txt").write_text("push the cup\n")
    (episode,) = read_video_folder(tmp_path)
    np.testing.assert_array_equal(episode.actions, actions[:4])
    assert episode.instruction == "push the cup"
    assert episode.extra["actions_known"] is True


def test_one_column_of_actions_is_enough(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [shade(i) for i in range(3)])
    (tmp_path / "a.csv").write_text("0.5\n-0.5\n")
    (episode,) = read_video_folder(tmp_path)
    assert episode.actions.tolist() == [[0.5], [-0.5]]


def test_imported_videos_go_through_a_store(tmp_path: Path) -> None:
    write_video(tmp_path / "videos" / "a.mp4", [shade(i) for i in range(5)])
    (episode,) = read_video_folder(tmp_path / "videos")
    store = EpisodeStore.create(tmp_path, "kitchen-v0")
    store.append(read_video_folder(tmp_path / "videos"))
    assert_same(store[0], episode)


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DatasetError, match="holds no videos"):
        list(read_video_folder(tmp_path))


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video at all" * 100)
    with pytest.raises(DatasetError, match=r"a\.mp4 cannot be decoded"):
        list(read_video_folder(tmp_path))


@pytest.mark.parametrize(
    ("content", "hint"),
    [("1,2\n3,4\n", r"shape \(2, 2\) and the video 5 frames"), ("x,y\nu,v\n", "array of numbers")],
)
def test_actions_that_do_not_fit_their_video_are_refused(
    tmp_path: Path, content: str, hint: str
) -> None:
    write_video(tmp_path / "a.mp4", [shade(i) for i in range(5)])
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DatasetError, match=hint):
        list(read_video_folder(tmp_path))


def test_actions_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [shade(i) for i in range(3)])
    (tmp_path / "a.csv").write_text("1\nnan\n")
    with pytest.raises(ActionError, match=r"actions\[1\]"):
        list(read_video_folder(tmp_path))


def test_frames_are_cut_square_from_the_middle() -> None:
    frame = np.zeros((20, 40, 3), np.uint8)
    frame[:, 10:30] = 255
    assert (square(frame, 20) == 255).all()
    assert square(frame, 8).shape == (8, 8, 3)


def test_a_stretch_of_a_video_begins_at_its_time(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [shade(i) for i in range(25)])
    frames = decode_video(tmp_path / "a.mp4", 32, start_s=1.4, count=3)
    assert shades_of(frames) == pytest.approx([shade(14), shade(15), shade(16)], abs=4)


def column(values: np.ndarray, kind: Any = None) -> pyarrow.Array:
    return pyarrow.array(list(values), kind)


def write_lerobot(root: Path, lengths: tuple[int, ...] = (6, 9), **info_changes: Any) -> Path:
    """A dataset as LeRobot writes it: all episodes in one Parquet and one MP4 file."""
    total = sum(lengths)
    starts = np.cumsum([0, *lengths])
    path = root / "data" / "chunk-000" / "file-000.parquet"
    path.parent.mkdir(parents=True)
    episode = np.repeat(np.arange(len(lengths)), lengths)
    frame = np.concatenate([np.arange(length) for length in lengths])
    vectors = np.stack([np.arange(total), -np.arange(total)], 1).astype(np.float32)
    pair = pyarrow.list_(pyarrow.float32(), 2)
    table = pyarrow.table(
        {
            "observation.state": column(vectors + 0.5, pair),
            "action": column(vectors, pair),
            "next.reward": column(np.arange(total, dtype=np.float32)),
            "next.done": column(frame >= np.repeat(lengths, lengths) - 2),
            "next.success": column(episode == 1),
            "timestamp": column((frame / 10).astype(np.float32)),
            "frame_index": column(frame),
            "episode_index": column(episode),
            "index": column(np.arange(total)),
            "task_index": column(episode),
        }
    )
    pyarrow.parquet.write_table(table, path)
    write_video(
        root / "videos" / CAMERA / "chunk-000" / "file-000.mp4", [shade(i) for i in range(total)]
    )
    rows = [
        {
            "episode_index": index,
            "tasks": [f"task {index}"],
            "length": length,
            "data/chunk_index": 0,
            "data/file_index": 0,
            "dataset_from_index": int(starts[index]),
            "dataset_to_index": int(starts[index + 1]),
            f"videos/{CAMERA}/chunk_index": 0,
            f"videos/{CAMERA}/file_index": 0,
            f"videos/{CAMERA}/from_timestamp": starts[index] / 10,
            f"videos/{CAMERA}/to_timestamp": starts[index + 1] / 10,
        }
        for index, length in enumerate(lengths)
    ]
    meta = root / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    meta.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), meta)
    info = {
        "codebase_version": "v3.0",
        "fps": 10,
        "total_episodes": len(lengths),
        "total_frames": total,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {
            CAMERA: {"dtype": "video", "shape": [48, 64, 3]},
            "observation.state": {"dtype": "float32", "shape": [2]},
            "action": {"dtype": "float32", "shape": [2]},
        },
    }
    (root / "meta" / "info.json").write_text(json.dumps(info | info_changes))
    return root


def test_lerobot_episodes_come_with_their_own_frames_actions_and_text(tmp_path: Path) -> None:
    first, second = read_lerobot(write_lerobot(tmp_path / "set"), size_px=32)
    assert (len(first), len(second)) == (5, 8)
    assert shades_of(first.frames) == pytest.approx([shade(i) for i in range(6)], abs=4)
    assert shades_of(second.frames) == pytest.approx([shade(i) for i in range(6, 15)], abs=4)
    assert second.actions[:, 0].tolist() == list(range(6, 14))
    assert second.rewards.tolist() == list(range(6, 14))
    assert second.state["observation.state"][:, 0].tolist() == [i + 0.5 for i in range(6, 15)]
    assert (first.instruction, second.instruction) == ("task 0", "task 1")
    assert second.terminations.tolist() == [False] * 7 + [True]
    assert not second.truncations.any()
    assert second.success.tolist() == [False] + [True] * 8
    assert not first.success.any()


def test_a_lerobot_dataset_goes_through_a_store(tmp_path: Path) -> None:
    root = write_lerobot(tmp_path / "set")
    store = EpisodeStore.create(tmp_path, "robot-v0")
    store.append(read_lerobot(root))
    for stored, read in zip(store, read_lerobot(root), strict=True):
        assert_same(stored, read)


def test_another_layout_version_is_refused_with_the_way_to_convert(tmp_path: Path) -> None:
    root = write_lerobot(tmp_path / "set", codebase_version="v2.1")
    with pytest.raises(DatasetError, match="convert_dataset_v21_to_v30"):
        list(read_lerobot(root))


def test_an_unknown_camera_is_refused_with_those_there_are(tmp_path: Path) -> None:
    root = write_lerobot(tmp_path / "set")
    with pytest.raises(DatasetError, match=CAMERA):
        list(read_lerobot(root, camera="observation.images.left"))


@pytest.mark.parametrize(
    "part",
    [
        "meta/info.json",
        "meta/episodes/chunk-000/file-000.parquet",
        "data/chunk-000/file-000.parquet",
        f"videos/{CAMERA}/chunk-000/file-000.mp4",
    ],
)
@pytest.mark.parametrize("damage", ["missing", "garbage"])
def test_a_missing_or_damaged_lerobot_file_is_named(tmp_path: Path, part: str, damage: str) -> None:
    root = write_lerobot(tmp_path / "set")
    if damage == "missing":
        (root / part).unlink()
    else:
        (root / part).write_bytes(b"garbage" * 50)
    with pytest.raises(DatasetError, match=part.split("/")[1].split(".")[0]):
        list(read_lerobot(root))


def test_a_video_that_is_too_short_for_its_table_is_refused(tmp_path: Path) -> None:
    root = write_lerobot(tmp_path / "set")
    write_video(
        root / "videos" / CAMERA / "chunk-000" / "file-000.mp4", [shade(i) for i in range(12)]
    )
    with pytest.raises(DatasetError, match="9 were expected"):
        list(read_lerobot(root))


def test_a_table_that_contradicts_its_meta_data_is_refused(tmp_path: Path) -> None:
    root = write_lerobot(tmp_path / "set")
    path = root / "data" / "chunk-000" / "file-000.parquet"
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path)[:-1], path)
    with pytest.raises(DatasetError, match="8 rows of episode 1"):
        list(read_lerobot(root))
