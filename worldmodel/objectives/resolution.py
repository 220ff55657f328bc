"""What ways to afford a high resolution are compared by: closed answers to the same questions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal.asked_frames import ANSWERS, ASKED_KINDS

__all__ = ["ResolutionObjective"]

_NONE = -100


class ResolutionObjective(nn.Module):
    """A view, and a small reader of questions that looks at what the view gives it.

    A question is the mean of its words: enough to tell these questions apart, and cheap, so that
    what is compared is the view. Questions of an image share its tokens and do not see each other.

    Args:
        view: a module of `multimodal.views`.
        vocabulary: number of text ids.
        width: D.
        depth: layers of the reader.
        heads: attention heads.
    """

    def __init__(
        self, view: nn.Module, vocabulary: int, width: int, depth: int = 2, heads: int = 4
    ) -> None:
        super().__init__()
        self.view = view
        self.words = nn.Embedding(vocabulary, width)
        self.question = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        layer = nn.TransformerDecoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.reader = nn.TransformerDecoder(layer, depth, nn.LayerNorm(width))
        self.answer = nn.Linear(width, len(ANSWERS))

    def logits(self, frames: Tensor, questions: Tensor) -> Tensor:
        """Logits (B, Q, answers) of questions int64 (B, Q, T) about images (B, H, W, 3)."""
        seen = self.view(frames)
        used = (questions != 0).unsqueeze(-1)
        mean = (self.words(questions) * used).sum(2) / used.sum(2).clamp(min=1)
        asked = questions.shape[1]
        others = ~torch.eye(asked, dtype=torch.bool, device=questions.device)
        read = self.reader(
            self.question(mean), seen.tokens, tgt_mask=others, memory_key_padding_mask=seen.hidden
        )
        return self.answer(read)

    def forward(
        self, frames: Tensor, questions: Tensor, answers: Tensor, kinds: Tensor
    ) -> dict[str, Tensor]:
        """Loss of a batch of `AskedFrames`, and the share of right answers of each kind."""
        logits = self.logits(frames, questions).float()
        loss = F.cross_entropy(logits.flatten(0, 1), answers.flatten(), ignore_index=_NONE)
        right = (logits.argmax(-1) == answers).float()
        figures = {"right": right[answers != _NONE].mean()}
        for number, kind in enumerate(ASKED_KINDS):
            mine = kinds == number
            if bool(mine.any()):
                figures[f"right_{kind}"] = right[mine].mean()
        return {"loss": loss, **figures}
