"""What the discrete exit is trained for: latents that come back through the codes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from multimodal.image_codes import ImageCodes

__all__ = ["ImageCodesObjective"]


class ImageCodesObjective(nn.Module):
    """Squared error of the latents, in which tokens that are rare in a batch weigh more.

    Most tokens show the bare table, and an error of the mean says little of what stands on it.

    Args:
        codes: the model to train.
        rare_weight: most weight of a token, against 1 for the bare table's.
    """

    def __init__(self, codes: ImageCodes, rare_weight: float = 6.0) -> None:
        super().__init__()
        self.codes = codes
        self.rare_weight = rare_weight

    def forward(self, latents: Tensor, **_: Tensor) -> dict[str, Tensor]:
        """Loss of a batch of latents (B, N, C); also the share of the codes in use."""
        latents = latents.float()
        made = self.codes.through(latents).float()
        common = latents.flatten(0, 1).median(0).values
        distance = (latents - common).square().mean(-1)
        weight = 1 + (self.rare_weight - 1) * (distance / distance.mean()).clamp(max=1)
        error = (made - latents).square().mean(-1)
        with torch.no_grad():
            used = self.codes.encode(latents).unique().numel() / self.codes.codes
        return {
            "loss": (error * weight).mean(),
            "error": error.mean(),
            "codes_used": error.new_tensor(used),
        }

    def export(self, directory: Path) -> None:
        """Write the model in diffusers' form into `directory`."""
        self.codes.save_pretrained(directory)
