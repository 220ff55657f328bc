"""What a policy sees of the Push table: where things are, by name, read off latents."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from envs.push_scene import COLOURS, SHAPES

__all__ = ["LOOKS", "SIGHT_DIM", "Sight"]

_K = len(COLOURS)
# Chances of the shapes, then how it is turned: cos and sin of three and of four times the yaw.
LOOKS = len(SHAPES) + 4
_PARTS = {
    "pusher_m": (2,),
    "objects_m": (_K, 2),
    "object_present": (_K,),
    "zones_m": (_K, 2),
    "zone_present": (_K,),
    "looks": (_K, LOOKS),
}
SIGHT_DIM = sum(int(torch.Size(shape).numel()) for shape in _PARTS.values())


@dataclass(frozen=True)
class Sight:
    """The table as named numbers; K colours, each of which one object and one zone may have.

    Attributes:
        pusher_m: position of the pusher in metres (B, 2).
        objects_m: position of the object of each colour (B, K, 2); means nothing where absent.
        object_present: probability that there is such an object (B, K).
        zones_m: centre of the zone of each colour (B, K, 2).
        zone_present: probability that there is such a zone (B, K).
        looks: shape and turn of each object (B, K, LOOKS).
    """

    pusher_m: Tensor
    objects_m: Tensor
    object_present: Tensor
    zones_m: Tensor
    zone_present: Tensor
    looks: Tensor

    def vector(self) -> Tensor:
        """All of it as one tensor (B, SIGHT_DIM)."""
        return torch.cat([getattr(self, name).flatten(1) for name in _PARTS], 1)

    @classmethod
    def from_vector(cls, vector: Tensor) -> Sight:
        """Undo `vector`."""
        sizes = [int(torch.Size(shape).numel()) for shape in _PARTS.values()]
        parts = vector.split(sizes, 1)
        shapes = zip(_PARTS.items(), parts, strict=True)
        return cls(**{name: part.reshape(-1, *shape) for (name, shape), part in shapes})

    def __len__(self) -> int:
        return len(self.pusher_m)
