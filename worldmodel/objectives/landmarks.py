"""What a vision tower learns from dense labels: what each of its tokens is the place of."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from multimodal.landmarks import KINDS

__all__ = ["LandmarkHead"]

_RARE = -4.0


class LandmarkHead(nn.Module):
    """A linear reading of a tower's features; it teaches the tower and ships with no model.

    Args:
        width: D, channels of the features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Linear(width, len(KINDS))
        # Nearly every kind is absent from nearly every token.
        nn.init.constant_(self.read.bias, _RARE)

    def forward(self, features_BND: Tensor, landmarks_BNK: Tensor) -> Tensor:
        """Binary cross-entropy, summed over kinds and averaged over tokens; scalar.

        Args:
            features_BND: of the tower, those of the grid first.
            landmarks_BNK: from `multimodal.landmarks.landmarks`.
        """
        logits = self.read(features_BND[:, : landmarks_BNK.shape[1]]).float()
        wanted = landmarks_BNK.float()
        each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return each.sum(-1).mean()
