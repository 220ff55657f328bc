"""What units of speech are trained for: letters that can be read off them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal import fsq
from multimodal.audio.units import FRAMES, SpeechUnits
from multimodal.speech.model import BLANK, LETTERS, letter_ids

__all__ = ["SpeechUnitsObjective"]


class SpeechUnitsObjective(nn.Module):
    """Letters by CTC, and the same letters through the rounding.

    CTC finds out where the letters are before rounding; rounded, a network that begins with one
    unit for everything would say blanks only and stay there. What is rounded learns to say at every
    place what was found.

    Source: Du et al., "CosyVoice: A Scalable Multilingual Zero-shot Text-to-speech Synthesizer
    based on Supervised Semantic Tokens" (2024); the rounding of its second version, FSQ.

    Args:
        units: the network to train.
    """

    def __init__(self, units: SpeechUnits) -> None:
        super().__init__()
        self.units = units
        width = int(units.config.width)
        self.exact = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1 + LETTERS))

    def forward(self, features: Tensor, frames: Tensor, texts: list[str]) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            features: float (B, 80, F), F a multiple of 8.
            frames: int64 (B,), how many of them are sound.
            texts: B texts.

        Returns:
            loss; ctc, of what is not rounded, and told, of what is, in nats for each letter and
            each 40 ms; wrong, the share of letters that units miss, add or exchange; used, the
            share of units in this batch.
        """
        config: Any = self.units.config
        states = self.units.states(features)
        numbers = self.units.numbers(states)
        rounded = fsq.quantize_through(numbers, config.levels)
        logits = self.units.letter_logits(rounded).flatten(1, 2).float()
        before = self.exact(states).float()
        heard = frames // FRAMES * 2
        rows = [letter_ids(text.lower()) for text in texts]
        lengths = torch.tensor([len(row) for row in rows])
        with torch.autocast(features.device.type, enabled=False):
            each = F.ctc_loss(
                before.log_softmax(-1).transpose(0, 1),
                torch.tensor([letter for row in rows for letter in row], device=logits.device),
                heard.cpu(),
                lengths,
                BLANK,
                "none",
                zero_infinity=True,
            )
            ctc = (each / lengths.to(each.device)).mean()
            inside = torch.arange(logits.shape[1], device=heard.device) < heard[:, None]
            told = F.cross_entropy(logits[inside], before.detach()[inside].softmax(-1))
        with torch.no_grad():
            used = (
                fsq.quantize(numbers.float(), config.levels, 1).unique().numel() / self.units.units
            )
            wrong = sum(
                _changes(_letters(row[: int(n)]), right)
                for row, n, right in zip(logits.argmax(-1), heard, rows, strict=True)
            ) / int(lengths.sum())
        figures = {"wrong": told.new_tensor(wrong), "used": told.new_tensor(used)}
        return {"loss": ctc + told, "ctc": ctc.detach(), "told": told.detach(), **figures}

    def export(self, directory: Path) -> None:
        """Write the units in diffusers' form into `directory`, in the precision that ships.

        Half precision moves a number across a rounding now and then; whoever learns from the units
        learns from those that everybody else will hear.
        """
        copy.deepcopy(self.units).to(torch.float16).save_pretrained(directory)


def _letters(best: Tensor) -> list[int]:
    """What CTC's best path says."""
    return [int(each) for each in torch.unique_consecutive(best) if int(each) != BLANK]


def _changes(said: list[int], right: list[int]) -> int:
    """Least insertions, deletions and exchanges."""
    row = list(range(len(right) + 1))
    for k, letter in enumerate(said, 1):
        before, row[0] = row[0], k
        for j, other in enumerate(right, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (letter != other))
    return row[-1]
