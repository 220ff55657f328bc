"""What the recogniser is trained for: the same text from both of its heads."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal.speech.model import BLANK, SpeechModel, letter_ids

__all__ = ["RecogniserObjective"]

_FEWEST_LETTERS = 10


class RecogniserObjective(nn.Module):
    """CTC loss of the encoder's letters and cross-entropy of the decoder's words.

    Source: Watanabe et al., "Hybrid CTC/Attention Architecture for End-to-End Speech Recognition"
    (2017).

    Args:
        model: the network to train.
        ctc_weight: share of the CTC loss.
    """

    def __init__(self, model: SpeechModel, ctc_weight: float = 0.8) -> None:
        super().__init__()
        self.model = model
        self.ctc_weight = ctc_weight

    def forward(self, features: Tensor, texts: list[str]) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            features: float (B, 80, F).
            texts: B texts.

        Returns:
            loss, ctc (nats for each letter), decoder (nats for each word) and wrong, the share of
            words that the decoder would write differently.
        """
        hidden = self.model.encode(features)
        frames = self.model.frame_logits(hidden)
        read, write = (each.to(features.device) for each in self.model.targets(texts))
        written = self.model.text_logits(hidden, read)
        with torch.autocast(features.device.type, enabled=False):
            ctc = _ctc(frames.float(), texts)
            logits = written.float().flatten(0, 1)
            decoder = F.cross_entropy(logits, write.flatten(), label_smoothing=0.05)
            known = write.flatten() >= 0
            wrong = (logits.argmax(-1) != write.flatten())[known].float().mean()
        loss = self.ctc_weight * ctc + (1 - self.ctc_weight) * decoder
        metrics = {"ctc": ctc, "decoder": decoder, "wrong": wrong}
        return {"loss": loss, **{name: each.detach() for name, each in metrics.items()}}

    def export(self, directory: Path) -> None:
        """Write the network in transformers' form into `directory`."""
        self.model.save_pretrained(directory)


def _ctc(logits: Tensor, texts: list[str]) -> Tensor:
    rows = [letter_ids(text) for text in texts]
    lengths = torch.tensor([len(row) for row in rows])
    targets = torch.tensor([each for row in rows for each in row], device=logits.device)
    heard = torch.full((len(rows),), logits.shape[1])
    likelihood = logits.log_softmax(-1).transpose(0, 1)
    each = F.ctc_loss(likelihood, targets, heard, lengths, BLANK, "none", zero_infinity=True)
    # Where nothing is said every position counts, and one such sound would outweigh all others.
    return (each / lengths.clamp_min(_FEWEST_LETTERS).to(each.device)).mean()
