"""Which sprite of a rollout is which object, so that imagined frames need not be read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.planning.bodies import Bodies
from worldmodel.layered import LayerState

__all__ = ["CarriedBodies"]

_PRESENT = 0.5
# A reading further from a sprite than this is of something else.
_SAME_M = 0.03


@dataclass(frozen=True, eq=False)
class CarriedBodies:
    """Readings of the frame that a rollout began with, tied to its sprites.

    Attributes:
        start: what was read.
        pose_px: where the sprites were then, column and row, float64 (K, 2).
        pusher: the driven sprite's slot.
        slots: the slot of each colour's object, -1 where none is seen, int64 (C,).
        scale: metres for each pixel.
    """

    start: Bodies
    pose_px: NDArray[np.float64]
    pusher: int
    slots: NDArray[np.int64]
    scale: float

    @classmethod
    def of(cls, seen: Bodies, layered: LayerState, scale: float) -> CarriedBodies | None:
        """Tie readings to the sprites nearest to them.

        Args:
            seen: readings of one frame, without leading axes.
            layered: the rollout at that frame, one lane.
            scale: metres for each pixel.

        Returns:
            None where no pusher or an object that is seen has no sprite of its own.
        """
        layers = layered.layers
        present = layers.present[0].cpu().numpy()
        driven = layers.driven[0].cpu().numpy() & present
        pose_px = layered.pose[0, :, :2].double().cpu().numpy()
        free = np.flatnonzero(present & ~driven)
        colours = np.flatnonzero(seen.presence > _PRESENT)
        if driven.sum() != 1 or not len(free):
            return None
        middle = np.array([layered.frame.shape[2], layered.frame.shape[1]]) / 2
        at_m = (pose_px - middle) * (scale, -scale)
        gaps_m = np.linalg.norm(seen.position_m[colours, None] - at_m[free], axis=-1)
        nearest = gaps_m.argmin(-1)
        pusher_gap_m = np.linalg.norm(seen.pusher_m - at_m[driven.argmax()])
        far = max([float(pusher_gap_m), *gaps_m.min(-1)]) > _SAME_M
        if far or len(set(nearest.tolist())) < len(colours):
            return None
        slots = np.full(len(seen.presence), -1)
        slots[colours] = free[nearest]
        return cls(seen, pose_px, int(driven.argmax()), slots, scale)

    def bodies(self, layered: LayerState) -> Bodies:
        """Where everything is by now, in N lanes that began at that frame."""
        pose_px = layered.pose[..., :2].double().cpu().numpy()
        way_m = (pose_px - self.pose_px) * (self.scale, -self.scale)
        lanes = len(way_m)
        moved = np.where(self.slots[:, None] >= 0, way_m[:, self.slots], 0.0)
        return Bodies(
            pusher_m=self.start.pusher_m + way_m[:, self.pusher],
            position_m=self.start.position_m + moved,
            presence=np.broadcast_to(self.start.presence, (lanes, len(self.slots))),
            shape=np.broadcast_to(self.start.shape, (lanes, *self.start.shape.shape)),
        )
