"""Rendered frames with their true layers, for training and judging a reader of layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from envs.behaviours import make_behaviour
from envs.layer_truth import LayerTruth, MovingBodies
from envs.push import PushWorld
from multimodal.errors import DatasetError

__all__ = ["LayerFrames"]


@dataclass(frozen=True)
class LayerFrames(Dataset[dict[str, Tensor]]):
    """Frames and their layers, as a map-style dataset; M movable bodies.

    Attributes:
        frames: uint8 (N, H, W, 3).
        plates: uint8 (N, H, W, 3).
        owners: uint8 (N, 2H, 2W).
        centres_px: float32 (N, M, 2).
        driven: bool (M,).
    """

    frames: NDArray[np.uint8]
    plates: NDArray[np.uint8]
    owners: NDArray[np.uint8]
    centres_px: NDArray[np.float32]
    driven: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """The keyword arguments of `LayerReaderObjective.forward`, of one frame."""
        return {
            "frame": torch.from_numpy(self.frames[index]),
            "plate": torch.from_numpy(self.plates[index]),
            "owner": torch.from_numpy(self.owners[index]),
            "centre_px": torch.from_numpy(self.centres_px[index]),
            "driven": torch.from_numpy(self.driven),
        }

    @staticmethod
    def rendered(
        count: int,
        seeds: Iterable[int],
        *,
        size_px: int = 64,
        objects: int | tuple[int, int] = (1, 4),
        frames_per_scene: int = 3,
        stride: int = 5,
    ) -> LayerFrames:
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
        bodies = MovingBodies(world)
        truths: list[LayerTruth] = []
        try:
            for seed in seeds:
                frame, _ = world.reset(seed=seed)
                behaviour = make_behaviour(world, np.random.default_rng(seed))
                for step in range((frames_per_scene - 1) * stride + 1):
                    if step % stride == 0:
                        truths.append(bodies.truth(frame))
                    if len(truths) == count:
                        return LayerFrames._of(truths, bodies.driven)
                    frame, *_ = world.step(behaviour.act(world))
        finally:
            world.close()
        raise DatasetError(
            f"The seeds gave {len(truths)} of {count} frames. Pass at least "
            f"{-(-count // frames_per_scene)} seeds."
        )

    @staticmethod
    def _of(truths: list[LayerTruth], driven: NDArray[np.bool_]) -> LayerFrames:
        return LayerFrames(
            np.stack([truth.frame for truth in truths]),
            np.stack([truth.plate for truth in truths]),
            np.stack([truth.owner for truth in truths]),
            np.stack([truth.centre_px for truth in truths]),
            driven,
        )
