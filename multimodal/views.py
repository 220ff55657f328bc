"""Ways to afford a high resolution: which tokens of a large image a language model gets to read.

`FullView` gives all patches and is what the others are compared with. `RaggedView` shrinks each
image to a budget in its own aspect ratio; `PyramidView` gives the whole image small and its parts
large but pooled; `PerceiverView` distils all patches into a few latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal.errors import ConfigError
from multimodal.patches import PatchEmbedding

__all__ = ["FullView", "PerceiverView", "PyramidView", "RaggedView", "Seen", "fitted", "layers"]


class Seen(NamedTuple):
    """What of a batch of images is read.

    Attributes:
        tokens: (B, N, D).
        hidden: bool (B, N), True where there is only padding; None where all are tokens.
    """

    tokens: Tensor
    hidden: Tensor | None = None


def layers(width: int, count: int, heads: int) -> nn.TransformerEncoder:
    """Pre-norm transformer layers over (B, N, width)."""
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, count, nn.LayerNorm(width), enable_nested_tensor=False)


def fitted(height_px: int, width_px: int, patch_px: int, budget: int) -> tuple[int, int]:
    """The largest size in whole patches, at most the image's own, whose tokens fit the budget.

    The aspect ratio stays, as far as whole patches allow (NaFlex, arXiv 2502.14786).

    Raises:
        ConfigError: the budget is less than one token.
    """
    if budget < 1:
        raise ConfigError(f"a budget of {budget} tokens shows nothing; give one or more.")
    scale = min(1.0, (budget * patch_px**2 / (height_px * width_px)) ** 0.5)
    rows = max(1, int(height_px * scale / patch_px + 1e-6))
    columns = max(1, int(width_px * scale / patch_px + 1e-6))
    return min(rows, budget) * patch_px, min(columns, max(1, budget // rows)) * patch_px


def _resized(frames_BHWC: Tensor, height_px: int, width_px: int) -> Tensor:
    """Float frames of another size."""
    pixels = frames_BHWC.float() / (255 if frames_BHWC.dtype == torch.uint8 else 1)
    if pixels.shape[1:3] == (height_px, width_px):
        return pixels
    x_BCHW = pixels.permute(0, 3, 1, 2)
    small = F.interpolate(x_BCHW, (height_px, width_px), mode="bilinear", antialias=True)
    return small.permute(0, 2, 3, 1)


class FullView(nn.Module):
    """Every patch at the image's own resolution.

    Args:
        width: D.
        depth: transformer layers over the patches.
        heads: attention heads.
        patch_px: side of a patch.
        grid: side of the grid that positions are learned on.
        early: convolutions before the patches are cut.
    """

    def __init__(
        self,
        width: int,
        depth: int = 2,
        heads: int = 4,
        patch_px: int = 16,
        grid: int = 8,
        early: int = 3,
    ) -> None:
        super().__init__()
        self.embed = PatchEmbedding(width, patch_px, grid, early)
        self.encoder = layers(width, depth, heads)

    def forward(self, frames_BHWC: Tensor) -> Seen:
        """Images (B, H, W, 3) to what is read of them."""
        return Seen(self.encoder(self.embed(frames_BHWC)))


class RaggedView(FullView):
    """Each image at its own aspect ratio, shrunk to a budget of tokens; one batch for all sizes.

    Args:
        budget: most tokens of an image.
        width: as for `FullView`, as are the others.
    """

    def __init__(self, budget: int, width: int, **sizes: int) -> None:
        super().__init__(width, **sizes)
        self.budget = budget

    def forward(self, frames: Tensor | Sequence[Tensor]) -> Seen:
        """Images of one size (B, H, W, 3), or a list of images (H, W, 3) of any sizes."""
        patch = self.embed.patch_px
        if isinstance(frames, Tensor):
            height, width = fitted(frames.shape[1], frames.shape[2], patch, self.budget)
            return Seen(self.encoder(self.embed(_resized(frames, height, width))))
        rows = []
        for frame in frames:
            height, width = fitted(frame.shape[0], frame.shape[1], patch, self.budget)
            rows.append(self.embed(_resized(frame[None], height, width))[0])
        tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows], device=tokens.device)
        hidden = torch.arange(tokens.shape[1], device=tokens.device) >= lengths[:, None]
        return Seen(self.encoder(tokens, src_key_padding_mask=hidden), hidden)


class PyramidView(FullView):
    """The whole image at half its size, and its four quarters with neighbours pooled.

    Args:
        width: as for `FullView`, as are the others.
    """

    def __init__(self, width: int, **sizes: int) -> None:
        super().__init__(width, **sizes)
        self.level = nn.Parameter(0.02 * torch.randn(2, width))

    def forward(self, frames_BHWC: Tensor) -> Seen:
        """Images (B, H, W, 3), H and W whole patches four times over."""
        batch, height, width = frames_BHWC.shape[:3]
        whole = self.encoder(self.embed(_resized(frames_BHWC, height // 2, width // 2)))
        # Positions are those of the whole image, so that a tile knows where it lies.
        patches = self.embed(frames_BHWC)
        rows, columns = height // self.embed.patch_px, width // self.embed.patch_px
        tiles = patches.view(batch, 2, rows // 2, 2, columns // 2, -1).transpose(2, 3)
        tiles = self.encoder(tiles.reshape(4 * batch, rows * columns // 4, -1))
        grid = tiles.unflatten(1, (rows // 4, 2, columns // 4, 2)).mean((2, 4))
        parts = grid.reshape(batch, -1, grid.shape[-1])
        return Seen(torch.cat([whole + self.level[0], parts + self.level[1]], 1))


class PerceiverView(FullView):
    """All patches, then a few learned latents that look at them (Flamingo, arXiv 2204.14198).

    Args:
        latents: k, tokens that are read.
        width: as for `FullView`, as are the others.
    """

    def __init__(self, latents: int, width: int, heads: int = 4, **sizes: int) -> None:
        super().__init__(width, heads=heads, **sizes)
        self.latents = nn.Parameter(0.2 * torch.randn(latents, width))
        layer = nn.TransformerDecoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.resampler = nn.TransformerDecoder(layer, 1, nn.LayerNorm(width))

    def forward(self, frames_BHWC: Tensor) -> Seen:
        """Images (B, H, W, 3)."""
        patches = super().forward(frames_BHWC).tokens
        return Seen(self.resampler(self.latents.expand(len(patches), -1, -1), patches))
