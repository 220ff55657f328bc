"""What the recogniser is trained for: the same text from both of its heads.

CTC alone finds out slowly where the words are. At first each position is also told the word that
would be there if all letters took the same time: wrong by a tenth of a second or two, but a way
that CTC may go, and the start of a better one.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal.speech.model import BLANK, SpeechModel, word_ids

__all__ = ["RecogniserObjective", "evenly_said"]


class RecogniserObjective(nn.Module):
    """CTC loss of the encoder and cross-entropy of the decoder.

    Args:
        model: the network to train.
        ctc_weight: share of the CTC loss.
        guided_steps: steps after which CTC takes the place of the guidance.
    """

    done: Tensor

    def __init__(
        self, model: SpeechModel, ctc_weight: float = 0.6, guided_steps: int = 1500
    ) -> None:
        super().__init__()
        self.model = model
        self.ctc_weight, self.guided_steps = ctc_weight, guided_steps
        self.register_buffer("done", torch.tensor(0.0))

    def after_step(self, step: int) -> None:
        """Note how far the training is."""
        self.done.fill_(float(step))

    def forward(self, features: Tensor, texts: list[str], spans: Tensor) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            features: float (B, 80, F).
            texts: B texts.
            spans: float (B, 2), the positions of the encoder between which they are said.

        Returns:
            loss, guided (nats for each position), ctc and decoder (nats for each word) and wrong,
            the share of words that the decoder would write differently.
        """
        hidden = self.model.encode(features)
        frames = self.model.frame_logits(hidden)
        read, write = (each.to(features.device) for each in self.model.targets(texts))
        written = self.model.text_logits(hidden, read)
        with torch.autocast(features.device.type, enabled=False):
            ctc = self._ctc(frames.float(), texts)
            where = evenly_said(texts, spans, frames.shape[1]).to(frames.device)
            guided = F.cross_entropy(frames.float().flatten(0, 1), where.flatten())
            logits = written.float().flatten(0, 1)
            decoder = F.cross_entropy(logits, write.flatten(), label_smoothing=0.05)
            known = write.flatten() >= 0
            wrong = (logits.argmax(-1) != write.flatten())[known].float().mean()
        # CTC from the first step on would make everything a blank, long before it finds a word.
        frame_loss = guided if float(self.done) < self.guided_steps else ctc
        loss = self.ctc_weight * frame_loss + (1 - self.ctc_weight) * decoder
        metrics = {"guided": guided, "ctc": ctc, "decoder": decoder, "wrong": wrong}
        return {"loss": loss, **{name: each.detach() for name, each in metrics.items()}}

    def _ctc(self, logits: Tensor, texts: list[str]) -> Tensor:
        rows = [word_ids(text) for text in texts]
        lengths = torch.tensor([len(row) for row in rows])
        targets = torch.tensor([each for row in rows for each in row], device=logits.device)
        heard = torch.full((len(rows),), logits.shape[1])
        likelihood = logits.log_softmax(-1).transpose(0, 1)
        return F.ctc_loss(likelihood, targets, heard, lengths, BLANK, zero_infinity=True)

    def export(self, directory: Path) -> None:
        """Write the network in transformers' form into `directory`."""
        self.model.save_pretrained(directory)


def evenly_said(texts: list[str], spans: Tensor, positions: int) -> Tensor:
    """The word at each position if every letter took the same time, int64 (B, positions).

    Args:
        texts: B texts.
        spans: float (B, 2), where each begins and ends.
        positions: how many there are.
    """
    where = torch.full((len(texts), positions), BLANK)
    for row, text, (start, end) in zip(where, texts, spans.tolist(), strict=True):
        place, each = start, (end - start) / max(1, len(text) + 1)
        for word in text.split():
            following = place + each * (len(word) + 1)
            row[round(place) : round(following)] = word_ids(word)[0]
            place = following
    return where
