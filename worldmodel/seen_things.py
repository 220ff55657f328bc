"""The movable things of a dataset's frames, read once and kept in mapped memory."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from multimodal.atomic import atomic_path, require_free_space
from multimodal.flat import FlatEpisodes
from multimodal.language import HELD_OUT_COMBINATIONS
from multimodal.layers import LayerReader
from multimodal.pictures import allowed_rows
from multimodal.things import THING, things_of
from multimodal.trunk import weights_fingerprint
from worldmodel.device import choose_compute

__all__ = ["MOST", "cached_things"]

BATCH = 32
MOST = 30_000
"""Frames of a split that are read; reading all of a large dataset takes longer than the training,
which sees some of them."""
_SPLITS = ("train", "validation")


def cached_things(reader: LayerReader, flat: FlatEpisodes, folder: Path) -> NDArray[np.float16]:
    """The things of frames that may be trained or validated on, of MOST of each split or fewer.

    Args:
        reader: the world model's reader of layers; another one gets another file.
        flat: the dataset.
        folder: where the file is kept.

    Returns:
        float16 (F, K, THING), memory-mapped, aligned with `flat.frames`; zeros for frames that
        were not read, among them all that are held out.

    Raises:
        DatasetError: no frame may be trained on.
        DiskFullError: there is no space for the file.
    """
    path = folder / f"things-{weights_fingerprint(reader)}-{flat.key}-{_contents()}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        held = [split for split in _SPLITS if len(flat.episodes(split))]
        rows = np.concatenate([_whole_episodes(flat, split) for split in held])
        shape = (len(flat.frames), int(reader.config["slots"]), THING)
        require_free_space(folder, 2 * int(np.prod(shape)))
        compute = choose_compute()
        reader = reader.to(compute.device, memory_format=torch.channels_last)
        with atomic_path(path) as hidden:
            out = np.lib.format.open_memmap(hidden, "w+", np.float16, shape)
            for start in track(range(0, len(rows), BATCH), "reading things", transient=True):
                chosen = rows[start : start + BATCH]
                frames = torch.from_numpy(np.array(flat.frames[chosen]))
                with torch.autocast(
                    compute.device.type, compute.dtype, compute.dtype != torch.float32
                ):
                    things = things_of(reader, frames)
                out[chosen] = things.cpu().numpy().astype(np.float16)
            out.flush()
            del out
    mapped: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def _contents() -> str:
    """What else decides which frames are read and what of them is kept, as a short fingerprint."""
    kept = [THING, MOST, sorted(HELD_OUT_COMBINATIONS)]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:8]


def _whole_episodes(flat: FlatEpisodes, split: str) -> NDArray[np.int64]:
    """Frames of a split that show nothing held out, of as many episodes as MOST allows."""
    rows = allowed_rows(flat, split)
    if len(rows) <= MOST:
        return rows
    cut = flat.starts[np.searchsorted(flat.starts, rows[MOST], "right") - 1]
    return rows[rows < cut]
