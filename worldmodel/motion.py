"""How sprites move: each one's displacement and turn in one step, from how they lie and the action.

Every sprite sees the others in its own frame of reference, the one it was cut out in: there a push
from a certain side always comes from the same side of the picture that it has of itself, however
it lies by now. Sprites exchange messages pair by pair, as in interaction networks (Battaglia et
al. 2016), so that what is pushed may push another.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from multimodal.errors import ConfigError
from worldmodel.solids import Outlines

__all__ = ["Bodies", "Motion", "Shift"]

# Displacements of a step are a few pixels, turns a few tenths of a radian.
_SCALE = (2.0, 2.0, 0.3)
# The proportional part has to reach its size within few optimiser steps.
_EAGER = 8.0
_EDGE = 12
_NODE = 14
# Edges of the frame nearer than this are felt.
_ROOM_PX = 12.0


class Bodies(NamedTuple):
    """Where sprites are and how they got there; K slots.

    Attributes:
        pose: column, row and turn since they were cut out, float (B, K, 3).
        shift: change of the pose in the last step, zeros when nothing is known (B, K, 3).
        look: what `Motion.look` made of each sprite (B, K, E).
        driven: whether the actions themselves move it, bool (B, K).
        present: bool (B, K).
        reach: how far each sprite reaches in each direction (B, K, D); solid bodies have it.
    """

    pose: Tensor
    shift: Tensor
    look: Tensor
    driven: Tensor
    present: Tensor
    reach: Tensor | None = None


class Shift(NamedTuple):
    """What one step does to sprites.

    Attributes:
        mean: change of the pose if it moves (B, K, 3).
        moves: logit that it moves at all (B, K).
    """

    mean: Tensor
    moves: Tensor

    def settled(self) -> Tensor:
        """The change of the pose, nothing where staying is likelier: (B, K, 3)."""
        return torch.where(self.moves[..., None] > 0, self.mean, torch.zeros_like(self.mean))


class _Round(nn.Module):
    """One exchange of messages."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mine = nn.Linear(width, width)
        self.theirs = nn.Linear(width, width, bias=False)
        self.edge = nn.Linear(_EDGE, width, bias=False)
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.update = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        self.norm = nn.RMSNorm(width)

    def forward(self, x_BKW: Tensor, edges: Tensor, heard: Tensor) -> Tensor:
        x = self.norm(x_BKW)
        pairs = self.mine(x)[:, :, None] + self.theirs(x)[:, None] + self.edge(edges)
        told = (self.message(pairs) * heard[..., None]).sum(2)
        result: Tensor = x_BKW + self.update(torch.cat([x, told], -1))
        return result


class Motion(ModelMixin, ConfigMixin):
    """Change of each sprite's pose in one step.

    Args:
        action_dim: A; the first two are taken for directions when A is 2.
        size_px: side of the frame.
        sprite_px: side of a sprite's window, a multiple of 8.
        look: E, numbers that describe a sprite.
        width: of the network.
        rounds: exchanges of messages.
        overlap_px: bodies are solid, and what touches is seen to overlap by so much; None lets
            them pass through each other.
        edge_px: solid bodies that are not driven keep so far from the frame's edges.
    """

    @register_to_config
    def __init__(
        self,
        action_dim: int,
        size_px: int = 64,
        sprite_px: int = 24,
        look: int = 32,
        width: int = 128,
        rounds: int = 2,
        overlap_px: float | None = None,
        edge_px: float = 0.0,
    ) -> None:
        super().__init__()
        self.eye = nn.Sequential(
            nn.AvgPool2d(2),
            nn.Conv2d(4, 24, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(24, 32, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(32 * (sprite_px // 8) ** 2, look),
        )
        self.body = nn.Sequential(
            nn.Linear(_NODE + 2 * action_dim + look, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.exchanges = nn.ModuleList(_Round(width) for _ in range(rounds))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, 4)
        # A driven body goes where it is told, nearly in proportion and up to the walls. Walls do
        # not turn with it, so this is told in the picture's own directions.
        self.obeys = nn.Linear(action_dim + 3, 3, bias=False)
        self.heeds = nn.Sequential(
            nn.Linear(action_dim + 7, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 3)
        )
        for layer in (self.head, self.obeys, self.heeds[-1]):
            nn.init.zeros_(layer.get_parameter("weight"))
        nn.init.zeros_(self.head.bias)
        self.register_buffer("scale", torch.tensor(_SCALE), persistent=False)

    @property
    def solid(self) -> bool:
        """Whether bodies keep out of each other's places."""
        return self.config.overlap_px is not None

    def outlines(self, bodies: Bodies) -> Outlines:
        """What `keep_apart` is told of solid bodies.

        Raises:
            ConfigError: nobody said how far they reach.
        """
        if bodies.reach is None:
            raise ConfigError("Solid bodies need `reach`: worldmodel.solids.reaches(sprites, cut).")
        config = self.config
        return Outlines(
            bodies.reach,
            bodies.driven,
            bodies.present,
            config.overlap_px,
            config.edge_px,
            float(config.size_px),
        )

    def look(self, sprites: Tensor) -> Tensor:
        """Describe sprites (B, K, 4, S, S): (B, K, E)."""
        described: Tensor = self.eye(sprites.flatten(0, 1)).unflatten(0, sprites.shape[:2])
        return described

    def forward(self, bodies: Bodies, action: Tensor) -> Shift:
        """One step.

        Args:
            bodies: of the present frame.
            action: (B, A) in [-1, 1].
        """
        pose, shift = bodies.pose, bodies.shift / self.scale
        driven = bodies.driven[..., None].float()
        cosine, sine = pose[..., 2:].cos(), pose[..., 2:].sin()
        around = pose[..., :2] / self.config.size_px * 2 - 1
        wide = action[:, None].expand(-1, pose.shape[1], -1)
        local = torch.cat([_into(shift[..., :2], cosine, sine), shift[..., 2:]], -1)
        known = (shift != 0).any(-1, keepdim=True).float()
        # How far the frame's edges are, and where they lie in the body's own frame.
        told = [around, cosine, sine, _into(around, cosine, sine), local, known, self._room(pose)]
        told += [wide * driven, wide * (1 - driven), bodies.look]
        x = self.body(torch.cat(told, -1))
        edges = self._edges(bodies, shift, action)
        heard = bodies.present[:, None] & ~torch.eye(
            pose.shape[1], dtype=torch.bool, device=pose.device
        )
        for exchange in self.exchanges:
            x = exchange(x, edges, heard)
        out = self.head(self.norm(x)).float()
        straight = _out_of(out[..., :2], cosine, sine)
        order = torch.cat([wide, shift], -1)
        heeded = self.heeds(torch.cat([order, 2 * self._room(pose) - 1], -1))
        told_to = (self.obeys(_EAGER * order) + heeded) * driven
        mean = torch.cat([straight, out[..., 2:3]], -1) + told_to.float()
        return Shift(mean * self.scale, out[..., 3])

    def _room(self, pose: Tensor) -> Tensor:
        """How far the frame's four edges are, from 0 to 1 where they are far: (B, K, 4)."""
        place = pose[..., :2]
        room = torch.cat([place, self.config.size_px - place], -1)
        return (room / _ROOM_PX).clamp(0, 1)

    def _edges(self, bodies: Bodies, shift: Tensor, action: Tensor) -> Tensor:
        """What each slot sees of each other one, in its own frame: (B, K, K, EDGE)."""
        pose = bodies.pose
        cosine, sine = pose[:, :, None, 2:].cos(), pose[:, :, None, 2:].sin()
        apart = (pose[:, None, :, :2] - pose[:, :, None, :2]) / 8
        length = apart.norm(dim=-1, keepdim=True)
        turn = pose[:, None, :, 2:] - pose[:, :, None, 2:]
        theirs = shift[:, None].expand(-1, pose.shape[1], -1, -1)
        driver = bodies.driven[:, None, :, None].float().expand_as(length)
        push = torch.zeros_like(apart)
        if self.config.action_dim == 2:
            # Actions point upwards where rows point downwards.
            pointed = action * action.new_tensor([1.0, -1.0])
            push = _into(pointed[:, None, None].expand_as(apart), cosine, sine) * driver
        told = [
            _into(apart, cosine, sine),
            length,
            (-2 * length).exp(),
            turn.cos(),
            turn.sin(),
            _into(theirs[..., :2], cosine, sine),
            theirs[..., 2:],
            driver,
            push,
        ]
        return torch.cat(told, -1)


def _into(vector: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Vectors (..., 2), column and row, in the frame of bodies turned counter-clockwise."""
    x, y = vector[..., :1], vector[..., 1:]
    return torch.cat([cosine * x - sine * y, sine * x + cosine * y], -1)


def _out_of(vector: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Undo `_into`."""
    return _into(vector, cosine, -sine)
