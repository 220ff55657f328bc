"""Frames with something wrong in them, as a rollout's frames are after a while.

A rollout's own mistakes are objects that fade into the table, or smear along their way. A model
trained on clean frames alone takes them for how the world is and carries them on; one that has
seen them, and what should have been there, mends them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldmodel.dynamics import unit_rms

__all__ = ["damaged"]

# Enough to cover an object, which spans two or three tokens each way.
LARGEST = 4


def damaged(latents: Tensor, other: Tensor, share: float, rows: int, columns: int) -> Tensor:
    """Mix a random patch of some frames with the same patch at another time.

    Args:
        latents: frames (B, N, C).
        other: the same scenes at other times (B, N, C): where an object was gone, fading; where it
            had moved a little, smearing.
        share: of the frames that are damaged.
        rows: of the latent grid.
        columns: of the latent grid.

    Returns:
        (B, N, C), each token of unit RMS where it was damaged and as it was elsewhere.
    """
    batch, device = len(latents), latents.device
    size = torch.randint(1, LARGEST + 1, (2, batch), device=device)
    corner = torch.rand(2, batch, device=device) * torch.tensor([[rows], [columns]], device=device)
    corner = corner.long() - size // 2
    row, column = torch.arange(rows, device=device), torch.arange(columns, device=device)
    tall = (row >= corner[0, :, None]) & (row < (corner[0] + size[0])[:, None])
    wide = (column >= corner[1, :, None]) & (column < (corner[1] + size[1])[:, None])
    hit = (tall[:, :, None] & wide[:, None, :]).flatten(1)
    hit &= torch.rand(batch, 1, device=device) < share
    strength = torch.empty(batch, 1, 1, device=device).uniform_(0.2, 0.9)
    mixed = unit_rms(torch.lerp(latents, other, strength))
    return torch.where(hit.unsqueeze(-1), mixed, latents)
