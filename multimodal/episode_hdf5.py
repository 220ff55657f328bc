"""How one episode lies in an HDF5 group, in the layout Minari reads.

`observations` are the frames; `actions`, `rewards`, `terminations` and `truncations` are Minari's
own names; `infos/state/<name>` and `infos/success` hold one row per frame. Beside them lie the
arrays `goal`, `extra/<name>` and `text` (JSON), and the attributes seed, split, instruction and
digest, which Minari calls episode metadata.
"""

import json
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from multimodal.episode import Episode
from multimodal.errors import DatasetError, WorldModelError

__all__ = ["PART_GROUP", "episode_to_image", "read_episode", "write_episode"]

_FRAMES_PER_CHUNK = 16
_STEP_ARRAYS = ("actions", "rewards", "terminations", "truncations")
PART_GROUP = "episode"


def write_episode(group: h5py.Group, episode: Episode, compression: str | None = None) -> None:
    """Write one episode into an empty group.

    Uncompressed arrays are contiguous: one read each. With `compression` ("lzf" or "gzip") frames
    are stored in chunks of sixteen.
    """
    chunks: dict[str, Any] = {}
    if compression is not None:
        length = min(_FRAMES_PER_CHUNK, len(episode.frames))
        chunks = {"chunks": (length, *episode.frame_shape), "compression": compression}
    group.create_dataset("observations", data=episode.frames, **chunks)
    for name in _STEP_ARRAYS:
        group.create_dataset(name, data=getattr(episode, name))
    infos = group.create_group("infos")
    infos.create_dataset("success", data=episode.success)
    if episode.state:
        state = infos.create_group("state")
        for name, array in episode.state.items():
            state.create_dataset(name, data=array)
    plain = {}
    for name, value in episode.extra.items():
        if isinstance(value, np.ndarray):
            group.require_group("extra").create_dataset(name, data=value)
        else:
            plain[name] = value
    group.create_dataset("goal", data=episode.goal)
    # A dataset and not an attribute: attributes end at 64 kB.
    text = json.dumps({"captions": list(episode.captions), "extra": plain})
    group.create_dataset("text", data=np.frombuffer(text.encode(), np.uint8))
    group.attrs.update(
        {
            "total_steps": len(episode),
            "seed": episode.seed,
            "split": episode.split,
            "instruction": episode.instruction,
            "digest": episode.digest(),
        }
    )


def read_episode(group: h5py.Group) -> Episode:
    """Read and check one episode.

    Raises:
        DatasetError: a part is missing, does not fit the others or was altered after writing.
    """
    name = group.name
    try:
        infos = group["infos"]
        state = {key: _array(value) for key, value in infos.get("state", {}).items()}
        text = json.loads(_array(group["text"]).tobytes())
        extra = {key: _array(value) for key, value in group.get("extra", {}).items()}
        episode = Episode(
            frames=_array(group["observations"]),
            **{key: _array(group[key]) for key in _STEP_ARRAYS},
            state=state,
            goal=_array(group["goal"]),
            success=_array(infos["success"]),
            instruction=str(group.attrs["instruction"]),
            captions=tuple(text["captions"]),
            seed=int(group.attrs["seed"]),
            split=str(group.attrs["split"]),
            extra=text["extra"] | extra,
        )
        digest = str(group.attrs["digest"])
    except KeyError as error:
        raise DatasetError(f"{name} lacks a part: {error}; record it again.") from error
    except WorldModelError as error:
        raise DatasetError(f"{name} is damaged: {error} Record the dataset again.") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise DatasetError(f"{name} cannot be read: {error}; record it again.") from error
    if episode.digest() != digest:
        raise DatasetError(
            f"{name} was altered after it was written (its digest does not fit its content); "
            "restore the file from a copy or record the dataset again."
        )
    return episode


def episode_to_image(episode: Episode, compression: str | None = None) -> memoryview:
    """The bytes of an HDF5 file that holds one episode in the group "episode".

    Building the file in memory keeps HDF5 away from the disk, so that a full disk is an ordinary
    error of one plain write.
    """
    with h5py.File("part", "w", driver="core", backing_store=False) as file:
        write_episode(file.create_group(PART_GROUP), episode, compression)
        file.flush()
        return memoryview(file.id.get_file_image())


def _array(value: object) -> NDArray[Any]:
    if not isinstance(value, h5py.Dataset):
        raise KeyError(f"expected an array, found {type(value).__name__}")
    return np.asarray(value[()])
