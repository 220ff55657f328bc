"""The state probe: a small network that reads pusher and objects off one frame.

It is the ruler of the gap, so it never sees a model's frame in training: real frames only, and
its own error on real frames is reported beside every figure it measures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from numpy.typing import NDArray
from torch import Tensor, nn

from envs.gap.readings import Readings
from multimodal.errors import FrameError

__all__ = ["ProbeOutput", "StateProbe"]

# A second peak counts as a copy when it lies further off than two touching objects could.
_COPY_DISTANCE_M = 0.05
_COPY_PROBABILITY = 0.4
_WINDOW_M = 0.05


class ProbeOutput(NamedTuple):
    """Raw outputs; K colours, grid rows G and columns g, the pusher after the colours."""

    heat: Tensor
    """Position logits (B, K+1, 2G, 2g), a softmax over places."""
    position_m: Tensor
    """Soft-argmax of the heat in metres (B, K+1, 2)."""
    presence: Tensor
    """Logits (B, K)."""
    shape: Tensor
    """Logits (B, K, shapes)."""
    detection: Tensor
    """Per-cell logits of an object's centre (B, K, G, g), from which copies are counted."""


class _Residual(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            width, width, 3, padding=dilation, dilation=dilation, bias=False
        )
        self.norm = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = features + F.relu(self.norm(self.convolution(features)))
        return result


class StateProbe(ModelMixin, ConfigMixin):
    """Frame → presence, position and shape per colour, and the pusher's position.

    Positions are soft-argmaxes of heat maps (Luvizon et al. 2017; DSNT, Nibali et al. 2018), so
    they are finer than a pixel. An object that is not there has no position: `read` says so by
    `present`, and no default is put in its place.

    Args:
        height_px: rows of the frame, a multiple of 4.
        width_px: columns of the frame, a multiple of 4.
        extent_m: half of the table's side that the camera sees, from the centre to the edge of
            the frame, in metres; x grows to the right and y upwards.
        colours: K, number of colours.
        shapes: number of shapes.
        width: channels.
    """

    @register_to_config
    def __init__(
        self,
        height_px: int = 64,
        width_px: int = 64,
        extent_m: float = 0.2138,
        colours: int = 6,
        shapes: int = 4,
        width: int = 48,
    ) -> None:
        super().__init__()
        if height_px % 4 or width_px % 4:
            raise FrameError(
                f"The probe reads frames whose sides are multiples of 4; got "
                f"{height_px}x{width_px} px. Resize the frames."
            )
        self.stem = nn.Sequential(
            nn.Conv2d(3, width // 2, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(width // 2),
            nn.ReLU(),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        # Two channels of place let the net undo the parallax of tops that stand above the table.
        self.place = nn.Conv2d(2, width, 1)
        self.trunk = nn.Sequential(*(_Residual(width, d) for d in (1, 2, 1, 1)))
        self.neck = nn.Conv2d(width, 2 * width, 1)
        self.heat = nn.Conv2d(2 * width, 4 * (colours + 1), 1)
        self.detection = nn.Conv2d(2 * width, colours, 1)
        self.hidden = nn.Linear(2 * width, 2 * width)
        self.judge = nn.Linear(2 * width, colours * (1 + shapes))
        grid = _grid(height_px // 4, width_px // 4, 1.0)
        self.register_buffer("grid_11_2HW", grid.permute(2, 0, 1), persistent=False)
        fine = _grid(height_px // 2, width_px // 2, extent_m)
        self.register_buffer("places_m_P2", fine.flatten(0, 1), persistent=False)

    def forward(self, frames_BHWC: Tensor) -> ProbeOutput:
        """Read a batch.

        Args:
            frames_BHWC: uint8 (B, H, W, 3), or float in [0, 1] of the same shape.

        Raises:
            FrameError: when the shape is another than the probe was built for.
        """
        self._check(frames_BHWC)
        pixels = frames_BHWC.to(self.dtype)
        if frames_BHWC.dtype == torch.uint8:
            pixels = pixels / 255
        features = self.stem(pixels.permute(0, 3, 1, 2) - 0.5)
        features = self.trunk(features + self.place(self.grid_11_2HW[None]))
        features = F.relu(self.neck(features))
        heat = F.pixel_shuffle(self.heat(features), 2)
        mass_BKP = heat.flatten(2).softmax(-1)
        coarse = F.avg_pool2d(mass_BKP.view_as(heat)[:, :-1], 2) * 4
        pooled = torch.einsum("bkp,bcp->bkc", coarse.flatten(2), features.flatten(2))
        hidden = F.relu(self.hidden(pooled))
        colours = int(self.config["colours"])
        weight = self.judge.weight.view(colours, -1, hidden.shape[-1])
        judged = torch.einsum("bkc,koc->bko", hidden, weight) + self.judge.bias.view(colours, -1)
        return ProbeOutput(
            heat=heat,
            position_m=mass_BKP @ self.places_m_P2,
            presence=judged[..., 0],
            shape=judged[..., 1:],
            detection=self.detection(features),
        )

    @torch.inference_mode()
    def read(
        self, frames: Tensor | NDArray[np.uint8], *, batch: int = 64, threshold: float = 0.5
    ) -> Readings:
        """Read frames with any leading axes, in batches, as arrays.

        Args:
            frames: uint8 (..., H, W, 3).
            batch: frames per forward pass.
            threshold: probability from which an object counts as present.
        """
        video = torch.as_tensor(frames)
        leading = tuple(video.shape[:-3])
        flat = video.reshape(-1, *video.shape[-3:])
        training = self.training
        self.eval()
        parts = [self._readings(flat[i : i + batch], threshold) for i in range(0, len(flat), batch)]
        self.train(training)
        joined = Readings.concatenate(parts)
        return Readings(**{n: a.reshape(*leading, *a.shape[1:]) for n, a in vars(joined).items()})

    def _readings(self, frames_BHWC: Tensor, threshold: float) -> Readings:
        out = self(frames_BHWC.to(self.device))
        position = self.peaks(out.heat)
        present = out.presence.sigmoid() > threshold
        copies = self._copies(out.detection).clamp_min(1) * present
        return Readings(
            pusher_m=position[:, -1].float().cpu().numpy(),
            position_m=position[:, :-1].float().cpu().numpy(),
            present=present.cpu().numpy(),
            shape=out.shape.argmax(-1).cpu().numpy(),
            copies=copies.cpu().numpy(),
        )

    def peaks(self, heat_BKHW: Tensor) -> Tensor:
        """Where each heat map peaks, in metres: (B, K+1, 2).

        A soft-argmax around the peak only: two ghosts must not average to a place between.
        """
        logits = heat_BKHW.flatten(2)
        places = self.places_m_P2
        peak = places[logits.argmax(-1)]
        distance = (places - peak[..., None, :]).abs().amax(-1)
        near: Tensor = logits.masked_fill(distance > _WINDOW_M, -torch.inf).softmax(-1) @ places
        return near

    def _copies(self, detection_BKHW: Tensor) -> Tensor:
        """Count peaks of the detection map that are further apart than touching objects."""
        rows = detection_BKHW.shape[2]
        cell_m = 2 * float(self.config["extent_m"]) / rows
        reach = max(1, round(_COPY_DISTANCE_M / cell_m))
        best = F.max_pool2d(detection_BKHW, 2 * reach + 1, stride=1, padding=reach)
        peaks = (detection_BKHW == best) & (detection_BKHW.sigmoid() > _COPY_PROBABILITY)
        return peaks.flatten(2).sum(-1)

    def _check(self, frames_BHWC: Tensor) -> None:
        expected = (int(self.config["height_px"]), int(self.config["width_px"]), 3)
        if frames_BHWC.ndim != 4 or tuple(frames_BHWC.shape[1:]) != expected:
            raise FrameError(
                f"The probe was built for frames (B, {', '.join(map(str, expected))}); got "
                f"{tuple(frames_BHWC.shape)}. Use the probe of this world's size."
            )


def _grid(rows: int, columns: int, extent: float) -> Tensor:
    """Centres of cells (rows, columns, 2) as x to the right and y upwards, ±extent at the edges."""
    x = ((torch.arange(columns) + 0.5) / columns * 2 - 1) * extent
    y = (1 - (torch.arange(rows) + 0.5) / rows * 2) * extent
    return torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), dim=-1)
