"""What the stop-word spotter is trained for: to say when, and to be silent otherwise."""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from multimodal.speech.spotter import SpotterModel

__all__ = ["SpotterObjective"]


class SpotterObjective(nn.Module):
    """Binary cross-entropy of every piece of sound that is asked about.

    Args:
        model: the network to train.
    """

    def __init__(self, model: SpotterModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Loss of a batch of streams.

        Args:
            features: float32 (B, N, 80).
            labels: float32 (B, N): 1 where a stop word has just ended, 0 where none has, below 0
                where nothing is asked.

        Returns:
            loss; missed, the share of asked-for pieces below one half; and false, that of others
            above.
        """
        logits = self.model(features).float()
        asked, stop = labels >= 0, labels == 1
        each = F.binary_cross_entropy_with_logits(logits, labels.clamp_min(0), reduction="none")
        said, none = logits[stop], logits[asked & ~stop]
        return {
            "loss": each[asked].mean() * 4,
            "missed": (said < 0).float().mean() if said.numel() else logits.sum() * 0,
            "false": (none > 0).float().mean(),
        }

    def export(self, directory: Path) -> None:
        """Write the network in diffusers' form into `directory`."""
        self.model.save_pretrained(directory)
