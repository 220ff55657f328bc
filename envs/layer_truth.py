"""What the layers of a MuJoCo frame truly are: which body covers a pixel, what lies behind it.

A body that can move is one with a joint; it is driven when an actuator acts on its joints. All of
it comes from the model and the renderer, so it holds for any MuJoCo world whose camera belongs to
its model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.mujoco_world import MujocoWorld
from multimodal.errors import ConfigError

__all__ = ["LayerTruth", "MovingBodies", "focal_px"]


@dataclass(frozen=True)
class LayerTruth:
    """One frame and its layers; M movable bodies.

    Attributes:
        frame: uint8 (H, W, 3).
        plate: the same without the movable bodies, uint8 (H, W, 3).
        owner: 0 for the plate, else the body's number plus one, at twice the size: uint8 (2H, 2W).
        centre_px: column and row of each body's origin, float32 (M, 2).
    """

    frame: NDArray[np.uint8]
    plate: NDArray[np.uint8]
    owner: NDArray[np.uint8]
    centre_px: NDArray[np.float32]


class MovingBodies:
    """The movable bodies of a world, seen by its camera.

    Args:
        world: a MuJoCo world seen by a camera of its model.

    Raises:
        ConfigError: nothing in it can move.
    """

    def __init__(self, world: MujocoWorld) -> None:
        model = world.model
        self.world = world
        self.ids = np.flatnonzero(model.body_jntnum > 0)
        if not len(self.ids):
            raise ConfigError("Nothing in this world can move, so it has no layers.")
        pulled = set(model.actuator_trnid[:, 0].tolist())
        self.driven: NDArray[np.bool_] = np.array(
            [
                any(joint in pulled for joint in range(first, first + count))
                for first, count in zip(
                    model.body_jntadr[self.ids], model.body_jntnum[self.ids], strict=True
                )
            ]
        )
        self._numbers = np.zeros(model.nbody, np.uint8)
        self._numbers[self.ids] = np.arange(1, len(self.ids) + 1)
        self._geoms = np.isin(model.geom_bodyid, self.ids)

    def truth(self, frame: NDArray[np.uint8]) -> LayerTruth:
        """The layers of the world's present frame."""
        return LayerTruth(frame, self._plate(), self._owner(), self.centres_px())

    def centres_px(self) -> NDArray[np.float32]:
        """Column and row at which the camera sees each body's origin, float32 (M, 2)."""
        world: Any = self.world
        return project_px(
            world.data.xpos[self.ids], world.model, world.data, world._camera, world.size_px
        )

    def _owner(self) -> NDArray[np.uint8]:
        geoms = self.world.fine_segmentation()
        bodies = self.world.model.geom_bodyid[np.maximum(geoms, 0)]
        owner: NDArray[np.uint8] = np.where(geoms >= 0, self._numbers[bodies], 0).astype(np.uint8)
        return owner

    def _plate(self) -> NDArray[np.uint8]:
        rgba = self.world.model.geom_rgba
        kept = rgba[self._geoms].copy()
        rgba[self._geoms, 3] = 0
        try:
            return self.world.render()
        finally:
            rgba[self._geoms] = kept


def project_px(
    points_m: NDArray[np.float64],
    model: mujoco.MjModel,
    data: mujoco.MjData,
    camera: str | int,
    size_px: int,
) -> NDArray[np.float32]:
    """Points (..., 3) in the world as column and row on the camera's square image (..., 2)."""
    index = model.camera(camera).id
    axes = data.cam_xmat[index].reshape(3, 3)
    local = (points_m - data.cam_xpos[index]) @ axes
    focal = focal_px(float(model.cam_fovy[index]), size_px)
    # What lies in the camera's own plane or far away is out of sight, wherever exactly.
    depth_m = np.maximum(-local[..., 2:], 1e-6)
    away_px = np.clip(focal * local[..., :2] / depth_m, -8 * size_px, 8 * size_px)
    pixels: NDArray[np.float32] = (size_px / 2 + away_px * (1, -1)).astype(np.float32)
    return pixels


def focal_px(view_degrees: float, size_px: int) -> float:
    """Focal length in pixels of a camera that sees so many degrees from top to bottom."""
    return size_px / 2 / math.tan(math.radians(view_degrees) / 2)
