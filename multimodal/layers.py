"""A frame taken apart into what stays and what can move: a plate, and sprites in front of it.

Pixels that belong to something movable vote for its centre; the peaks of the votes are the
sprites, each pixel goes to the peak that it voted for, and what lies behind them is painted in.
Layers in this sense are Wang & Adelson's (1994); centres found by votes are Panoptic-DeepLab's
(Cheng et al. 2020).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from multimodal.errors import FrameError

__all__ = ["LayerLogits", "LayerReader", "Layers", "composite"]

# Votes closer than this belong to one body; two bodies' centres are further apart.
_APART_PX = 4.5
_GATHER_PX = 3.0
# Fewer pixels than this are no body.
_LEAST_MASS_PX = 8.0
_VOTE_SCALE_PX = 8.0
# Side of the window in which the colour behind a body is matched to what is seen around it.
_TONE_PX = 7


class Layers(NamedTuple):
    """A frame in layers; K slots, of which those that are empty have no opacity.

    Attributes:
        plate: what lies behind everything movable, float (B, 3, H, W) in [0, 1].
        sprites: colour times opacity, and opacity, float (B, K, 4, S, S).
        pose: column and row of each sprite's centre in pixels, and its turn in radians since it
            was cut out, counter-clockwise, float (B, K, 3).
        driven: whether the actions themselves move it, bool (B, K).
        present: whether the slot holds anything, bool (B, K).
    """

    plate: Tensor
    sprites: Tensor
    pose: Tensor
    driven: Tensor
    present: Tensor


class LayerLogits(NamedTuple):
    """What the network says of each pixel.

    Attributes:
        kind: logits of plate, free body and driven body (B, 3, H, W).
        vote: from the pixel to the centre of its body, in pixels, column and row (B, 2, H, W).
        plate: colour behind, float (B, 3, H, W).
    """

    kind: Tensor
    vote: Tensor
    plate: Tensor


class _Residual(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        result: Tensor = x_BCHW + F.relu(self.norm(self.first(x_BCHW)))
        return result


class LayerReader(ModelMixin, ConfigMixin):
    """Frame → layers.

    Args:
        slots: K, the most bodies that are told apart.
        sprite_px: S, side of the window that a body is cut out in.
        width: channels.
        dilations: of each residual convolution, at half the resolution.
    """

    @register_to_config
    def __init__(
        self,
        slots: int = 6,
        sprite_px: int = 24,
        width: int = 48,
        dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 4),
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(12, width, 3, padding=1, bias=False)
        )
        self.trunk = nn.Sequential(*(_Residual(width, dilation) for dilation in dilations))
        self.up = nn.Sequential(nn.ReLU(), nn.Conv2d(width, 4 * 24, 1), nn.PixelShuffle(2))
        self.out = nn.Sequential(
            nn.Conv2d(24 + 3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 8, 3, padding=1)
        )

    def forward(self, pixels_BCHW: Tensor) -> LayerLogits:
        """Say of each pixel what it belongs to.

        Args:
            pixels_BCHW: float (B, 3, H, W) in [0, 1].
        """
        centred = pixels_BCHW - 0.5
        features = self.up(self.trunk(self.stem(centred)))
        kind, vote, plate = self.out(torch.cat([features, centred], 1)).split((3, 2, 3), 1)
        return LayerLogits(kind, vote * _VOTE_SCALE_PX, plate + 0.5)

    @torch.no_grad()
    def read(self, frames: Tensor) -> Layers:
        """Take frames apart.

        Args:
            frames: uint8 (B, H, W, 3).

        Raises:
            FrameError: of another shape or type.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != torch.uint8:
            raise FrameError(
                f"Layers are read off uint8 frames (B, H, W, 3), got {frames.dtype} "
                f"{tuple(frames.shape)}."
            )
        pixels = frames.to(self.device).permute(0, 3, 1, 2).float() / 255
        # Float whatever the network runs in: places need it.
        said = LayerLogits(*(part.float() for part in self(pixels)))
        chance = said.kind.softmax(1)
        opacity = 1 - chance[:, :1]
        opacity = torch.where(opacity < 0.05, 0.0, torch.where(opacity > 0.95, 1.0, opacity))
        behind = F.max_pool2d((opacity > 0).float(), 3, 1, 1)
        painted = said.plate + _tone(pixels - said.plate, behind * (opacity == 0))
        plate = torch.lerp(pixels, painted.clamp(0, 1), behind)
        places = _places(pixels)
        votes = places + said.vote
        centres, present = self._centres(votes, opacity)
        # The pixel goes to the body whose centre it voted for.
        distance = (votes[:, None] - centres[..., None, None]).square().sum(2)
        distance = distance.masked_fill(~present[..., None, None], 1e9)
        share = (-distance / 2).softmax(1) * present[..., None, None]
        colour = pixels - (1 - opacity) * plate
        rgba = torch.cat([colour, opacity], 1)[:, None] * share[:, :, None]
        weight = share * opacity
        driven = (weight * chance[:, 2:]).sum((2, 3)) / weight.sum((2, 3)).clamp(min=1e-6) > 0.5
        pose = torch.cat([centres, torch.zeros_like(centres[..., :1])], -1)
        return Layers(plate, self._cut(rgba, centres), pose, driven, present)

    def _centres(self, votes: Tensor, opacity: Tensor) -> tuple[Tensor, Tensor]:
        """Where the votes (B, 2, H, W) gather: centres (B, K, 2) and which slots are taken."""
        batch, _, height, width = votes.shape
        mass = opacity.flatten(1)
        column, row = votes.flatten(2).unbind(1)
        inside = (column > 0) & (column < width) & (row > 0) & (row < height)
        cell = row.long().clamp(0, height - 1) * width + column.long().clamp(0, width - 1)
        heap = torch.zeros_like(mass).scatter_add(1, cell, mass * inside)
        heap = F.avg_pool2d(heap.view(batch, 1, height, width), 3, 1, 1) * 9
        left = heap.flatten(1)
        grid = _places(votes).flatten(2)[0]
        centres, present = [], []
        for _ in range(int(self.config["slots"])):
            peak = grid[:, left.argmax(1)].T
            near = (votes.flatten(2) - peak[..., None]).square().sum(1) < _GATHER_PX**2
            weight = near * mass
            total = weight.sum(1)
            mean = (votes.flatten(2) * weight[:, None]).sum(2) / total.clamp(min=1e-6)[:, None]
            found = total > _LEAST_MASS_PX
            centres.append(torch.where(found[:, None], mean, peak))
            present.append(found)
            gap = (grid[None] - centres[-1][..., None]).square().sum(1)
            left = left.masked_fill(gap < _APART_PX**2, 0.0)
        return torch.stack(centres, 1), torch.stack(present, 1)

    def _cut(self, rgba: Tensor, centres: Tensor) -> Tensor:
        """Windows around the centres, without resampling: (B, K, 4, S, S).

        The window's own centre is the pixel corner nearest to the body's; `composite` is told the
        body's centre, and knows the rest from `corner_of`.
        """
        side = int(self.config["sprite_px"])
        padded = F.pad(rgba, (side,) * 4)
        corner = corner_of(centres, side) + side
        steps = torch.arange(side, device=rgba.device)
        rows = (corner[..., 1, None] + steps).clamp(0, padded.shape[-2] - 1)
        columns = (corner[..., 0, None] + steps).clamp(0, padded.shape[-1] - 1)
        index = rows[..., :, None] * padded.shape[-1] + columns[..., None, :]
        index = index.flatten(2)[:, :, None].expand(-1, -1, 4, -1)
        return padded.flatten(3).gather(3, index).unflatten(3, (side, side))


def _tone(difference: Tensor, rim: Tensor) -> Tensor:
    """What lies behind is as much off as the rim around it is, where the table is of another grey.

    Args:
        difference: between what is seen and what was painted (B, 3, H, W).
        rim: 1 at the pixels that show what lies behind, around a body (B, 1, H, W).

    Returns:
        (B, 3, H, W).
    """
    seen = F.avg_pool2d(rim, _TONE_PX, 1, _TONE_PX // 2)
    return F.avg_pool2d(difference * rim, _TONE_PX, 1, _TONE_PX // 2) / seen.clamp(min=1e-6)


def corner_of(centres: Tensor, side: int) -> Tensor:
    """Column and row of the first pixel of a window of `side` around centres (..., 2), int64."""
    return centres.round().long() - side // 2


def _places(image: Tensor) -> Tensor:
    """Column and row of every pixel's centre, in pixels: (1, 2, H, W)."""
    height, width = image.shape[-2:]
    row = torch.arange(height, device=image.device) + 0.5
    column = torch.arange(width, device=image.device) + 0.5
    grid = torch.stack(torch.broadcast_tensors(column[None, :], row[:, None]))
    return grid[None].float()


def composite(layers: Layers, pose: Tensor) -> Tensor:
    """Lay the sprites over the plate at new poses; driven bodies lie on top.

    A sprite is always sampled from where it was cut out, so it looks after a thousand steps as it
    did after one.

    Args:
        layers: as they were read.
        pose: where each sprite is now (B, K, 3).

    Returns:
        float (B, 3, H, W) in [0, 1].
    """
    side = layers.sprites.shape[-1]
    height, width = layers.plate.shape[-2:]
    batch, slots = pose.shape[:2]
    corner = corner_of(pose[..., :2], side)
    steps = torch.arange(side, device=pose.device)
    rgba = _turned(layers, pose, corner)
    canvas = F.pad(layers.plate, (side,) * 4).flatten(2)
    across = width + 2 * side
    rows = (corner[..., 1, None] + side + steps).clamp(0, height + 2 * side - 1)
    columns = (corner[..., 0, None] + side + steps).clamp(0, across - 1)
    index = (rows[..., :, None] * across + columns[..., None, :]).flatten(2)
    lanes = torch.arange(batch, device=pose.device)
    order = (layers.driven.float() + layers.present.float()).argsort(1)
    for number in range(slots):
        slot = order[:, number]
        patch = rgba[lanes, slot].flatten(2)
        where = index[lanes, slot][:, None].expand(-1, 3, -1)
        below = canvas.gather(2, where)
        canvas = canvas.scatter(2, where, patch[:, :3] + (1 - patch[:, 3:]) * below)
    framed = canvas.unflatten(2, (height + 2 * side, across))
    return framed[..., side:-side, side:-side].clamp(0, 1)


def _turned(layers: Layers, pose: Tensor, corner: Tensor) -> Tensor:
    """Sprites sampled at their new poses, each in the window at `corner` (B, K, 2)."""
    side = layers.sprites.shape[-1]
    steps = torch.arange(side, device=pose.device) + 0.5
    away_x = corner[..., 0, None, None] + steps[None, :] - pose[..., 0, None, None]
    away_y = corner[..., 1, None, None] + steps[:, None] - pose[..., 1, None, None]
    away_x, away_y = torch.broadcast_tensors(away_x, away_y)
    turn = (pose[..., 2] - layers.pose[..., 2])[..., None, None]
    cosine, sine = turn.cos(), turn.sin()
    # Rows grow downwards: a counter-clockwise turn is undone by this.
    from_x = cosine * away_x - sine * away_y
    from_y = sine * away_x + cosine * away_y
    cut = layers.pose[..., :2]
    start = cut - corner_of(cut, side)
    grid = torch.stack([from_x + start[..., 0, None, None], from_y + start[..., 1, None, None]], -1)
    grid = (grid * 2 / side - 1).flatten(0, 1)
    sampled = F.grid_sample(layers.sprites.flatten(0, 1), grid, align_corners=False)
    return sampled.unflatten(0, pose.shape[:2])
