"""A rollout as layers of its first frame that are carried about.

Only where things go is predicted; how they look is never predicted again but carried, whole, from
the frame in which it was seen. So an object that is pushed for a minute looks as it did at first,
and what stands still stays the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from multimodal.layers import LayerReader, Layers, composite
from multimodal.tokenizer import to_uint8
from worldmodel.motion import Bodies, Motion
from worldmodel.solids import keep_apart, reaches

__all__ = ["LayerState", "begin", "carry", "follow"]


_READ_PX, _FARTHEST_PX = 0.4, 6.0
_OWN = ("look", "reach", "pose", "shift", "frame")


class LayerState(NamedTuple):
    """Layers of B rollouts at one instant; K slots.

    Attributes:
        layers: of the frame in which everything was cut out.
        look: what the motion made of each sprite (B, K, E).
        reach: how far each sprite reaches in each direction (B, K, D).
        pose: where each sprite is now (B, K, 3).
        shift: how it came there in the last step (B, K, 3).
        frame: what is seen now, or was when it was drawn last, uint8 (B, H, W, 3).
    """

    layers: Layers
    look: Tensor
    reach: Tensor
    pose: Tensor
    shift: Tensor
    frame: Tensor

    def arrays(self) -> dict[str, Tensor]:
        """The state as named tensors whose first axis is the lane."""
        cut = {f"cut_{name}": value for name, value in self.layers._asdict().items()}
        return cut | {name: getattr(self, name) for name in _OWN}

    @staticmethod
    def names() -> list[str]:
        """Names of the tensors in `arrays`."""
        return [*(f"cut_{name}" for name in Layers._fields), *_OWN]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor]) -> LayerState:
        """Undo `arrays`."""
        layers = Layers(**{name: arrays[f"cut_{name}"] for name in Layers._fields})
        return cls(layers, *(arrays[name] for name in _OWN))


def begin(reader: LayerReader, motion: Motion, frames: Tensor) -> LayerState:
    """Layers of the last of the frames (B, T, H, W, 3), uint8, that rollouts begin with.

    The frame before it, where there is one, says how fast things move.
    """
    layers = reader.read(frames[:, -1])
    shift = torch.zeros_like(layers.pose)
    if frames.shape[1] > 1:
        before = reader.read(frames[:, -2])
        apart = layers.pose[:, :, None, :2] - before.pose[:, None, :, :2]
        far = apart.norm(dim=-1).masked_fill(~before.present[:, None], torch.inf)
        gap, nearest = far.min(-1)
        way = apart.gather(2, nearest[..., None, None].expand(-1, -1, 1, 2))[:, :, 0]
        # A body cannot be read more finely than this, so a slower one is taken for standing.
        moved = (gap > _READ_PX) & (gap < _FARTHEST_PX) & layers.present
        shift[..., :2] = way * moved[..., None]
    look = motion.look(layers.sprites)
    # A pose of its own: what is saved may not share memory.
    reach = reaches(layers.sprites, layers.pose[..., :2])
    return LayerState(layers, look, reach, layers.pose.clone(), shift, frames[:, -1])


def follow(motion: Motion, bodies: Bodies, action: Tensor, size_px: tuple[int, ...]) -> Bodies:
    """Where bodies are after one step, for those who need no pictures at all.

    Args:
        motion: says where each goes.
        bodies: before the step.
        action: (B, A) in [-1, 1].
        size_px: height and width of the frame, which no centre leaves.
    """
    # Sixteen-bit formats tell places a quarter of a pixel apart from each other, and no finer.
    with torch.autocast(action.device.type, enabled=False):
        shift = motion(bodies, action).settled() * bodies.present[..., None]
    pose = bodies.pose + shift
    if motion.solid:
        pose = keep_apart(motion.outlines(bodies), pose)
    height, width = size_px
    inside = torch.minimum(pose[..., :2].clamp(min=0), pose.new_tensor([width, height]))
    pose = torch.cat([inside, pose[..., 2:]], -1)
    return bodies._replace(pose=pose, shift=pose - bodies.pose)


def carry(motion: Motion, state: LayerState, action: Tensor, draw: bool = True) -> LayerState:
    """One step.

    Args:
        motion: says where each sprite goes.
        state: before the step.
        action: (B, A) in [-1, 1].
        draw: False moves everything and leaves the frame as it was, at a fraction of the cost.
    """
    layers = state.layers
    bodies = Bodies(state.pose, state.shift, state.look, layers.driven, layers.present, state.reach)
    moved = follow(motion, bodies, action, state.frame.shape[1:3])
    pose, shift = moved.pose, moved.shift
    if not draw:
        return state._replace(pose=pose, shift=shift)
    frame = to_uint8(composite(layers, pose)).permute(0, 2, 3, 1).contiguous()
    return state._replace(pose=pose, shift=shift, frame=frame)
