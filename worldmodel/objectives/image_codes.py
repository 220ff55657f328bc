"""What the discrete exit is trained for: latents that come back through the codes."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal import fsq
from multimodal.image_codes import REACH, ImageCodes
from multimodal.language import COLOURS, SHAPES

__all__ = ["ImageCodesObjective"]

_NAMES_WIDTH = 64
_NAMES_WEIGHT = 0.15


class ImageCodesObjective(nn.Module):
    """Latents that come back, and codes that say what stands where.

    Squared error of the latents, in which tokens that are rare in a batch weigh more: most show
    the bare table, and an error of the mean says little of what stands on it. Beside it a small
    head reads shape and colour of an object off the code at its middle, as codes for pixels alone
    are hard to read (as UniTok's two losses, arXiv 2502.20321).

    Args:
        codes: the model to train.
        rare_weight: most weight of a token, against 1 for the bare table's.
    """

    def __init__(self, codes: ImageCodes, rare_weight: float = 6.0) -> None:
        super().__init__()
        self.codes = codes
        self.rare_weight = rare_weight
        numbers = int(codes.config.digits) * int(codes.config.groups)
        self.names = nn.Sequential(
            nn.Linear(numbers, _NAMES_WIDTH),
            nn.GELU(),
            nn.Linear(_NAMES_WIDTH, len(SHAPES) + len(COLOURS) + 2),
        )

    def forward(self, latents: Tensor, named: Tensor) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            latents: (B, N, C).
            named: int64 (B, N, 2), shape and colour of the object whose middle lies in a token,
                counted from 1; 0 where there is none.

        Returns:
            loss; the error of the latents; the share of the codes in use; how many of the objects'
            shapes and colours the codes tell.
        """
        latents = latents.float()
        numbers = fsq.quantize_through(self.codes.numbers(latents), self.codes.config.levels)
        made = self.codes.latents(numbers).float()
        common = latents.flatten(0, 1).median(0).values
        distance = (latents - common).square().mean(-1)
        weight = 1 + (self.rare_weight - 1) * (distance / distance.mean()).clamp(max=1)
        error = (made - latents).square().mean(-1)
        with torch.no_grad():
            used = self.codes.encode(latents).unique().numel() / self.codes.codes
        telling, figures = self._telling(numbers.float(), named)
        return {
            "loss": (error * weight).mean() + _NAMES_WEIGHT * telling,
            "error": error.mean(),
            "codes_used": error.new_tensor(used),
            **figures,
        }

    def _telling(self, numbers: Tensor, named: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of what tokens show; objects' middles count as much as all other tokens."""
        logits = self.names(numbers / REACH).float()
        split = logits.split([len(SHAPES) + 1, len(COLOURS) + 1], -1)
        there = named[..., 0] > 0
        loss, figures = numbers.new_zeros(()), {}
        for name, mine, true in zip(("shape", "colour"), split, named.unbind(-1), strict=True):
            each = F.cross_entropy(mine.flatten(0, 1), true.flatten(), reduction="none")
            each = each.unflatten(0, true.shape)
            loss = loss + each[~there].mean()
            if bool(there.any()):
                loss = loss + each[there].mean()
                right = mine.argmax(-1)[there] == true[there]
                figures[f"{name}_told"] = right.float().mean()
        return loss, figures

    def export(self, directory: Path) -> None:
        """Write the model in diffusers' form into `directory`."""
        self.codes.save_pretrained(directory)
