"""What the state probe is trained to minimise."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from envs.gap.probe import ProbeOutput, StateProbe

__all__ = ["ProbeObjective"]

_CELL_M = 0.01
_DETECTION_SIGMA_CELLS = 0.8


class ProbeObjective(nn.Module):
    """Positions, presence, shapes and detections of a `StateProbe`, on real frames.

    In training a batch is turned and mirrored at random, as the table looks alike from every side,
    and slightly blurred, dimmed and noised: the probe will read frames that went through a
    decoder, and must not hang on single pixels of a renderer.

    Args:
        probe: the model to train.
        noise: standard deviation of the pixel noise, frames in [0, 1].
    """

    def __init__(self, probe: StateProbe, noise: float = 0.02) -> None:
        super().__init__()
        self.probe = probe
        self.noise = noise

    def forward(
        self,
        frames: Tensor,
        pusher_m: Tensor,
        position_m: Tensor,
        present: Tensor,
        shape: Tensor,
    ) -> dict[str, Tensor]:
        """Loss and metrics of one batch.

        Args:
            frames: uint8 (B, H, W, 3).
            pusher_m: float (B, 2).
            position_m: float (B, K, 2), read where `present`.
            present: bool (B, K).
            shape: int (B, K), read where `present`.

        Returns:
            "loss" and, as scalars without gradient, "position_error_m", "presence_accuracy" and
            "shape_accuracy".
        """
        pixels = frames.float() / 255
        target_m = torch.cat([position_m, pusher_m[:, None]], dim=1)
        if self.training:
            pixels, target_m = _turned(self._disturbed(pixels), target_m)
        out = self.probe(pixels)
        here = torch.cat([present, present.new_ones(len(present), 1)], dim=1)
        place = (out.position_m - target_m)[here]
        seen = present.float()
        losses = (
            F.smooth_l1_loss(place / _CELL_M, torch.zeros_like(place)),
            0.2 * self._heat_loss(out, target_m, here),
            F.binary_cross_entropy_with_logits(out.presence, seen),
            F.cross_entropy(out.shape[present], shape[present]),
            4.0 * self._detection_loss(out, target_m[:, :-1], seen),
        )
        right = out.shape.argmax(-1) == shape
        return {
            "loss": torch.stack(losses).sum(),
            "position_error_m": place.detach().norm(dim=-1).mean(),
            "presence_accuracy": ((out.presence > 0) == present).float().mean(),
            "shape_accuracy": right[present].float().mean(),
        }

    def export(self, directory: Path) -> None:
        """Write the probe (config and safetensors) into `directory`."""
        self.probe.save_pretrained(directory)

    def _disturbed(self, pixels_BHWC: Tensor) -> Tensor:
        size = (len(pixels_BHWC), 1, 1, 1)
        channels_first = pixels_BHWC.permute(0, 3, 1, 2)
        blurred = F.avg_pool2d(channels_first, 3, 1, 1, count_include_pad=False)
        share = 0.5 * torch.rand(size, device=pixels_BHWC.device)
        mixed = torch.lerp(channels_first, blurred, share).permute(0, 2, 3, 1)
        gain = 1 + 0.1 * (torch.rand(size, device=pixels_BHWC.device) - 0.5)
        strength = self.noise * torch.rand(size, device=pixels_BHWC.device)
        return (mixed * gain + strength * torch.randn_like(mixed)).clamp(0, 1)

    def _heat_loss(self, out: ProbeOutput, target_m: Tensor, here: Tensor) -> Tensor:
        """Pull the heat together: without it a soft-argmax may balance far-off cells."""
        places = self.probe.places_m_P2
        square = (target_m[here][:, None] - places).square().sum(-1)
        wanted = (-square / (2 * _CELL_M**2)).softmax(-1)
        return F.cross_entropy(out.heat[here].flatten(1), wanted)

    def _detection_loss(self, out: ProbeOutput, position_m: Tensor, seen: Tensor) -> Tensor:
        """A bump of probability on the cell of every object's centre, nothing elsewhere."""
        rows, columns = out.detection.shape[-2:]
        places = (
            F.avg_pool2d(self.probe.places_m_P2.T.view(1, 2, 2 * rows, 2 * columns), 2)
            .flatten(2)[0]
            .T
        )
        cell_m = 2 * float(self.probe.config["extent_m"]) / rows
        square = (position_m[:, :, None] - places).square().sum(-1)
        wanted = (-square / (2 * (_DETECTION_SIGMA_CELLS * cell_m) ** 2)).exp() * seen[..., None]
        return F.binary_cross_entropy_with_logits(out.detection.flatten(2), wanted)


def _turned(pixels_BHWC: Tensor, position_BK2: Tensor) -> tuple[Tensor, Tensor]:
    """One of the symmetries of the frame, the same for the whole batch."""
    left_right, up_down, transpose = torch.randint(0, 2, (3,)).tolist()
    if left_right:
        pixels_BHWC = pixels_BHWC.flip(2)
        position_BK2 = position_BK2 * position_BK2.new_tensor([-1.0, 1.0])
    if up_down:
        pixels_BHWC = pixels_BHWC.flip(1)
        position_BK2 = position_BK2 * position_BK2.new_tensor([1.0, -1.0])
    if transpose and pixels_BHWC.shape[1] == pixels_BHWC.shape[2]:
        # Rows grow downwards and y upwards, so exchanging the axes also changes both signs.
        pixels_BHWC = pixels_BHWC.transpose(1, 2)
        position_BK2 = -position_BK2.flip(-1)
    return pixels_BHWC, position_BK2
