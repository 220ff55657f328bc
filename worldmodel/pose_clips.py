"""Recorded episodes as poses of the bodies in them: what the motion of sprites learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.clips import Window, WindowSampler
from multimodal.flat import FlatEpisodes
from multimodal.layers import LayerReader
from worldmodel.solids import Outlines, overlaps_px, reaches, rims

__all__ = ["STILL", "PoseClips", "Sprites", "Tracks", "contact_margins", "episode_sprites"]

BATCH = 64
# A body that shifts less than this in a step, in pixels or radians, is standing.
STILL = 0.05
# A sprite whose centre was read further off than this is of another body.
_SAME_PX = 4.0
# Episodes, and contacts in them, that tell how bodies touch.
_MEASURED, _CONTACTS = 200, 100
# Outlines are read off blurred edges: a few in a thousand are further off than bodies come.
_SELDOM = 0.005
# Sides that a camera sees as bodies move away from its axis let the others overlap by more.
_MOST = 0.95
# Bodies that overlap by more than this lie above each other, not side by side.
_PASSING_PX = 2.5


@dataclass(frozen=True)
class Tracks:
    """Where the camera sees each of M bodies in each of F frames.

    Attributes:
        pose: column, row in pixels and turn in radians, counter-clockwise, float32 (F, M, 3).
        present: bool (F, M).
        driven: bool (M,).
    """

    pose: NDArray[np.float32]
    present: NDArray[np.bool_]
    driven: NDArray[np.bool_]


@dataclass(frozen=True)
class Sprites:
    """How each of M bodies looks in the first frame of each of E episodes.

    Attributes:
        sprites: float16 (E, M, 4, S, S).
        reach: how far they reach, from `worldmodel.solids.reaches`, float16 (E, M, D).
        cut: where their centres were read, column and row, float32 (E, M, 2).
        found: which were found in the frame, bool (E, M).
    """

    sprites: NDArray[np.float16]
    reach: NDArray[np.float16]
    cut: NDArray[np.float32]
    found: NDArray[np.bool_]


def episode_sprites(reader: LayerReader, flat: FlatEpisodes, tracks: Tracks) -> Sprites:
    """How each body looks in its episode's first frame.

    Args:
        reader: cuts the sprites out.
        flat: the dataset of E episodes.
        tracks: tell which sprite is which body.
    """
    sprites, reach, cut, found = [], [], [], []
    starts = flat.starts[:-1]
    for begin in track(range(0, len(starts), BATCH), "cutting out sprites", transient=True):
        index = starts[begin : begin + BATCH]
        layers = reader.read(torch.from_numpy(np.array(flat.frames[index])))
        centre = torch.from_numpy(tracks.pose[index][..., :2])
        apart = (centre[:, :, None] - layers.pose[:, None, :, :2]).norm(dim=-1)
        apart = apart.masked_fill(~layers.present[:, None], torch.inf)
        nearest = apart.argmin(-1)
        near = apart.gather(-1, nearest[..., None])[..., 0] < _SAME_PX
        wide = nearest[..., None, None, None].expand(-1, -1, *layers.sprites.shape[2:])
        sprites.append(layers.sprites.gather(1, wide).half().numpy())
        far = reaches(layers.sprites, layers.pose[..., :2])
        reach.append(far.gather(1, nearest[..., None].expand(-1, -1, far.shape[2])).half().numpy())
        place = layers.pose[..., :2]
        cut.append(place.gather(1, nearest[..., None].expand(-1, -1, 2)).numpy())
        found.append(near.numpy() & tracks.present[index])
    return Sprites(*(np.concatenate(parts) for parts in (sprites, reach, cut, found)))


def contact_margins(
    flat: FlatEpisodes, tracks: Tracks, seen: Sprites
) -> tuple[float | None, float]:
    """How recorded bodies lie against each other and against the frame's edges.

    Args:
        flat: the dataset.
        tracks: its bodies' poses.
        seen: their outlines.

    Returns:
        How deep outlines overlap of bodies that touch, in pixels, None where they pass through
        each other; and how near to an edge bodies come that are not driven.
    """
    size_px = float(flat.frames.shape[1])
    deep, edges = [], []
    for episode in flat.episodes("train")[:_MEASURED]:
        begun, ended = int(flat.starts[episode]), int(flat.starts[episode + 1])
        pose = _as_read(tracks.pose[begun:ended], seen.cut[episode])
        many = len(pose)
        reach = torch.from_numpy(seen.reach[episode].astype(np.float32)).expand(many, -1, -1)
        present = torch.from_numpy(seen.found[episode]).expand(many, -1)
        driven = torch.from_numpy(tracks.driven).expand(many, -1)
        deep.append(overlaps_px(Outlines(reach, driven, present, 0.0, 0.0, size_px), pose))
        rim = rims(reach, pose[..., 2]) + pose[:, :, None, :2]
        room = torch.stack([rim.amin(2), size_px - rim.amax(2)]).amin((0, -1))
        edges.append(room[present & ~driven])
    touching = torch.cat(deep)
    touching = touching[touching > 0]
    edge_px = float(torch.cat(edges).quantile(_SELDOM)) if sum(map(len, edges)) else 0.0
    if len(touching) < _CONTACTS:
        return None, edge_px
    overlap_px = float(touching.quantile(_MOST))
    return (overlap_px if overlap_px < _PASSING_PX else None), edge_px


def _as_read(track: NDArray[np.float32], cut: NDArray[np.float32]) -> Tensor:
    """Poses (T, M, 3) of the centres that were read at `cut` in the first frame.

    Outlines are told from those; a body's origin, which the track follows, lies a little aside.
    """
    pose = torch.from_numpy(track.copy())
    pose[..., 2] -= pose[:1, :, 2].clone()
    aside = torch.from_numpy(cut) - pose[0, :, :2]
    cosine, sine = pose[..., 2].cos(), pose[..., 2].sin()
    # Rows grow downwards, turns go counter-clockwise.
    pose[..., 0] += cosine * aside[:, 0] + sine * aside[:, 1]
    pose[..., 1] += cosine * aside[:, 1] - sine * aside[:, 0]
    return pose


def _moves_before(tracks: Tracks) -> NDArray[np.int64]:
    """How often a free body moved from one frame to the next, summed up to each frame, (F,)."""
    free = tracks.present & ~tracks.driven
    moved = np.zeros(len(free), np.int64)
    went = np.abs(np.diff(tracks.pose, axis=0)).max(-1) > STILL
    moved[1:] = (went & free[1:]).sum(-1)
    return np.cumsum(moved)


class PoseClips(Dataset[dict[str, Tensor]]):
    """Random clips of poses; item i is a function of (seed, i) and the dataset alone.

    Item i holds the keyword arguments of `MotionObjective.forward`, of one clip. Turns count from
    the episode's first frame, from which the sprites are.

    Args:
        flat: the dataset.
        tracks: its bodies' poses.
        seen: its bodies' looks.
        split: "train", "validation" or "test".
        steps: T.
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        low: lower bound of each action (A,).
        high: upper bound of each action (A,).
        lively: windows drawn for each item; the one in which free bodies move most is served.

    Raises:
        DatasetError: no episode of the split has T + 1 frames.
    """

    def __init__(
        self,
        flat: FlatEpisodes,
        tracks: Tracks,
        seen: Sprites,
        split: str,
        steps: int,
        seed: int,
        samples: int,
        low: NDArray[np.float32],
        high: NDArray[np.float32],
        lively: int = 1,
    ) -> None:
        self.flat, self.tracks, self.seen = flat, tracks, seen
        self.steps, self.samples = steps, samples
        self.windows = WindowSampler(flat.starts, steps + 1, seed, flat.episodes(split))
        self._low, self._span = low, high - low
        self._candidates = lively
        self._moves = _moves_before(tracks)

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.samples:
            raise IndexError(f"clip {index} of {self.samples}")
        window = self._window(index)
        begun = int(self.flat.starts[window.episode])
        zero = np.zeros_like(self.tracks.pose[begun])
        zero[:, 2] = self.tracks.pose[begun][:, 2]
        pose = self.tracks.pose[window.start : window.start + self.steps + 1] - zero
        before = self.tracks.pose[max(begun, window.start - 1)] - zero
        given = self.flat.actions[window.start : window.start + self.steps]
        actions = (given - self._low) / self._span * 2 - 1
        arrays = {
            "pose": pose,
            "before": before,
            "actions": actions.astype(np.float32),
            "present": self.seen.found[window.episode],
            "driven": self.tracks.driven,
            "sprites": self.seen.sprites[window.episode].astype(np.float32),
            "reach": self.seen.reach[window.episode].astype(np.float32),
        }
        return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}

    def _window(self, index: int) -> Window:
        base = index * self._candidates
        drawn = [self.windows.draw(base + number) for number in range(self._candidates)]
        moves, steps = self._moves, self.steps
        return max(drawn, key=lambda window: moves[window.start + steps] - moves[window.start])

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """Several clips at once."""
        return [self[index] for index in indices]
