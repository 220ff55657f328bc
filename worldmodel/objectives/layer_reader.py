"""What a reader of layers is trained for: whose each pixel is, where its body's centre lies."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal.layers import LayerReader

__all__ = ["LayerReaderObjective"]


class LayerReaderObjective(nn.Module):
    """Opacity, centres and the plate behind, of a `LayerReader`.

    Args:
        reader: the model to train.
        noise: standard deviation of the pixel noise, frames in [0, 1].
    """

    def __init__(self, reader: LayerReader, noise: float = 0.01) -> None:
        super().__init__()
        self.reader = reader
        self.noise = noise

    def forward(
        self, frame: Tensor, plate: Tensor, owner: Tensor, centre_px: Tensor, driven: Tensor
    ) -> dict[str, Tensor]:
        """Loss and metrics of one batch; M movable bodies.

        Args:
            frame: uint8 (B, H, W, 3).
            plate: what lies behind the bodies, uint8 (B, H, W, 3).
            owner: 0 for the plate, else a body's number plus one, uint8 (B, 2H, 2W).
            centre_px: column and row of each body's centre, float (B, M, 2).
            driven: whether an actuator moves the body, bool (B, M).

        Returns:
            "loss", its parts, and "vote_error_px" and "opacity_error" without gradient.
        """
        pixels, behind = (x.permute(0, 3, 1, 2).float() / 255 for x in (frame, plate))
        whose = F.one_hot(owner.long(), centre_px.shape[1] + 1).permute(0, 3, 1, 2).float()
        if self.training:
            pixels, behind, whose, centre_px = _mirrored(pixels, behind, whose, centre_px)
            pixels = pixels + self.noise * torch.rand(()) * torch.randn_like(pixels)
        cover = F.avg_pool2d(whose, 2)
        bodies = cover[:, 1:]
        pulled = torch.einsum("bmhw,bm->bhw", bodies, driven.float())
        kind = torch.stack([cover[:, 0], bodies.sum(1) - pulled, pulled], 1)
        said = self.reader(pixels)
        kind_loss = -(kind * said.kind.log_softmax(1)).sum(1).mean()
        owned = bodies.sum(1)
        nearest = bodies.argmax(1)
        centre = torch.gather(centre_px, 1, nearest.flatten(1)[..., None].expand(-1, -1, 2))
        centre = centre.transpose(1, 2).unflatten(2, nearest.shape[1:])
        miss = said.vote + _places(pixels) - centre
        vote = F.smooth_l1_loss(miss, torch.zeros_like(miss), reduction="none").mean(1)
        vote_loss = (vote * owned).sum() / owned.sum().clamp(min=1)
        near = F.max_pool2d((owned[:, None] > 0).float(), 3, 1, 1)
        plate_loss = ((said.plate - behind).abs() * near).sum() / near.sum().clamp(min=1) / 3
        with torch.no_grad():
            off = (miss.norm(dim=1) * owned).sum() / owned.sum().clamp(min=1)
            opacity = ((1 - said.kind.softmax(1)[:, 0]) - owned).abs().mean()
        return {
            "loss": 4 * kind_loss + 0.3 * vote_loss + 2 * plate_loss,
            "kind": kind_loss,
            "vote": vote_loss,
            "plate": plate_loss,
            "vote_error_px": off,
            "opacity_error": opacity,
        }

    def export(self, directory: Path) -> None:
        """Write the reader (config and safetensors) into `directory`."""
        self.reader.save_pretrained(directory)


def _places(pixels: Tensor) -> Tensor:
    """Column and row of every pixel's centre (1, 2, H, W)."""
    height, width = pixels.shape[-2:]
    row = torch.arange(height, device=pixels.device) + 0.5
    column = torch.arange(width, device=pixels.device) + 0.5
    return torch.stack(torch.broadcast_tensors(column[None, :], row[:, None]))[None]


def _mirrored(
    pixels: Tensor, behind: Tensor, whose: Tensor, centre_px: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One of the symmetries of a square, the same for the whole batch."""
    height, width = pixels.shape[-2:]
    images = [pixels, behind, whose]
    across, down, swap = torch.randint(0, 2, (3,)).tolist()
    if across:
        images = [image.flip(3) for image in images]
        centre_px = centre_px * centre_px.new_tensor([-1.0, 1.0])
        centre_px = centre_px + centre_px.new_tensor([float(width), 0.0])
    if down:
        images = [image.flip(2) for image in images]
        centre_px = centre_px * centre_px.new_tensor([1.0, -1.0])
        centre_px = centre_px + centre_px.new_tensor([0.0, float(height)])
    if swap and height == width:
        images = [image.transpose(2, 3) for image in images]
        centre_px = centre_px.flip(-1)
    return images[0], images[1], images[2], centre_px
