"""Real frames with their truth, for training and judging the state probe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from envs.behaviours import make_behaviour
from envs.gap.readings import Readings, truth_readings
from envs.push import PushWorld
from envs.push_scene import COLOURS
from multimodal.episode import Episode
from multimodal.errors import DatasetError

__all__ = ["ProbeFrames"]


@dataclass(frozen=True)
class ProbeFrames(Dataset[dict[str, Tensor]]):
    """Frames and what they show, as a map-style dataset.

    Attributes:
        frames: uint8 (N, H, W, 3).
        truth: readings of the N frames, from MuJoCo's state.
    """

    frames: NDArray[np.uint8]
    truth: Readings

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """The keyword arguments of `ProbeObjective.forward`, of one frame."""
        truth = self.truth[index]
        return {
            "frames": torch.from_numpy(self.frames[index]),
            "pusher_m": torch.from_numpy(truth.pusher_m),
            "position_m": torch.from_numpy(truth.position_m),
            "present": torch.from_numpy(truth.present),
            "shape": torch.from_numpy(truth.shape),
        }

    @staticmethod
    def rendered(
        count: int,
        seeds: Iterable[int],
        *,
        size_px: int = 64,
        objects: int | tuple[int, int] = (1, 4),
        frames_per_scene: int = 4,
        stride: int = 4,
    ) -> ProbeFrames:
        """Render fresh Push scenes: new placements, then contacts made by the behaviour.

        Args:
            count: N, frames wanted.
            seeds: one scene per seed; take them from the split that the frames are for.
            size_px: side of the frame.
            objects: objects per scene, or the range it is drawn from.
            frames_per_scene: frames kept of each scene, the first of them the reset.
            stride: control steps between kept frames.

        Raises:
            DatasetError: when the seeds run out before `count` frames.
        """
        world = PushWorld(objects=objects, size_px=size_px, max_steps=0, terminate_on_success=False)
        frames: list[NDArray[np.uint8]] = []
        states: list[dict[str, NDArray[Any]]] = []
        try:
            for seed in seeds:
                frame, info = world.reset(seed=seed)
                behaviour = make_behaviour(world, np.random.default_rng(seed))
                for step in range(frames_per_scene * stride):
                    if step % stride == 0:
                        frames.append(frame)
                        states.append(info["state"])
                    if len(frames) == count:
                        return ProbeFrames(np.stack(frames), _stacked(states))
                    frame, _, _, _, info = world.step(behaviour.act(world))
        finally:
            world.close()
        raise DatasetError(
            f"The seeds gave {len(frames)} of {count} frames. Pass at least "
            f"{-(-count // frames_per_scene)} seeds."
        )

    @staticmethod
    def recorded(episodes: Iterable[Episode], count: int, seed: int = 0) -> ProbeFrames:
        """Draw frames at random steps from recorded Push episodes, evenly over episodes.

        Args:
            episodes: recorded episodes with named state.
            count: N, frames drawn from each episode.
            seed: of the draw.

        Raises:
            DatasetError: when there is no episode.
        """
        rng = np.random.default_rng(seed)
        frames: list[NDArray[np.uint8]] = []
        parts: list[Readings] = []
        for episode in episodes:
            length = len(episode.frames)
            steps = np.sort(rng.choice(length, size=min(count, length), replace=False))
            frames.append(np.asarray(episode.frames)[steps])
            state = {name: np.asarray(value)[steps] for name, value in episode.state.items()}
            parts.append(truth_readings(state, len(COLOURS)))
        if not frames:
            raise DatasetError("There is no episode to draw probe frames from. Record some first.")
        return ProbeFrames(np.concatenate(frames), Readings.concatenate(parts))

    @staticmethod
    def joined(parts: Sequence[ProbeFrames]) -> ProbeFrames:
        """One dataset of several."""
        return ProbeFrames(
            np.concatenate([part.frames for part in parts]),
            Readings.concatenate([part.truth for part in parts]),
        )


def _stacked(states: Sequence[dict[str, NDArray[Any]]]) -> Readings:
    stacked = {name: np.stack([state[name] for state in states]) for name in states[0]}
    return truth_readings(stacked, len(COLOURS))
