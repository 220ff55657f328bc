"""Images of any size as patch tokens with learned positions, as a ViT takes them."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal.errors import ConfigError, FrameError

__all__ = ["PatchEmbedding", "patch_grid"]

LARGEST_PX = 8192


def patch_grid(height_px: int, width_px: int, patch_px: int) -> tuple[int, int]:
    """Rows and columns of patches: 14 by 14 for 224² at 16, 64 by 64 for 1024².

    Raises:
        FrameError: smaller than a patch, endless, or no whole number of patches.
    """
    for side in (height_px, width_px):
        if not patch_px <= side <= LARGEST_PX or side % patch_px:
            raise FrameError(
                f"the image has {height_px}x{width_px} px; expected multiples of {patch_px}, up to "
                f"{LARGEST_PX}. Resize it, or pad it at the right and at the bottom."
            )
    return height_px // patch_px, width_px // patch_px


class PatchEmbedding(nn.Module):
    """Non-overlapping patches, one linear map, learned positions (ViT, arXiv 2010.11929).

    Positions are learned on one grid and interpolated to any other, as in SigLIP 2's NaFlex
    (arXiv 2502.14786).

    Args:
        width: D, channels of a token.
        patch_px: side of a patch.
        grid: side of the grid that positions are learned on.
        early: convolutions of stride 2 before the patches are cut; they make small models see
            shapes from less data (arXiv 2106.14881). None is ViT's own form.

    Raises:
        ConfigError: the patch cannot be halved so often.
    """

    def __init__(self, width: int, patch_px: int = 16, grid: int = 14, early: int = 0) -> None:
        super().__init__()
        if patch_px % 2**early:
            raise ConfigError(f"patch_px={patch_px} cannot be halved {early} times.")
        self.patch_px = patch_px
        sizes = [3, *(max(8, width >> (early - k)) for k in range(early))]
        self.stem = nn.Sequential()
        for now, after in pairwise(sizes):
            self.stem.append(nn.Conv2d(now, after, 3, 2, padding=1))
            self.stem.append(nn.GELU())
        cut = patch_px // 2**early
        self.project = nn.Conv2d(sizes[-1], width, cut, cut)
        self.positions = nn.Parameter(0.02 * torch.randn(1, width, grid, grid))

    def positions_for(self, rows: int, columns: int) -> Tensor:
        """Positions (rows · columns, D), row by row."""
        grid: Tensor = self.positions
        if grid.shape[2:] != (rows, columns):
            grid = F.interpolate(grid, (rows, columns), mode="bilinear", antialias=True)
        return grid[0].flatten(1).T

    def forward(self, frames_BHWC: Tensor) -> Tensor:
        """Images to tokens.

        Args:
            frames_BHWC: uint8 or float in [0, 1], (B, H, W, 3).

        Returns:
            (B, N, D), N = H · W / patch², row by row.

        Raises:
            FrameError: another rank or number of channels, or a size that is not whole patches.
        """
        shape = tuple(frames_BHWC.shape)
        if len(shape) != 4 or shape[-1] != 3:
            raise FrameError(f"Expected images (B, H, W, 3), got {shape}.")
        rows, columns = patch_grid(shape[1], shape[2], self.patch_px)
        pixels = frames_BHWC.float() / 255 if frames_BHWC.dtype == torch.uint8 else frames_BHWC
        x_BCHW = pixels.permute(0, 3, 1, 2) * 2 - 1
        tokens = self.project(self.stem(x_BCHW)).flatten(2).transpose(1, 2)
        return tokens + self.positions_for(rows, columns)
