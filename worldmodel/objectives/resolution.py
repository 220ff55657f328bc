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

    The questions of an image share its tokens and do not see one another.

    Args:
        view: a module of `multimodal.views`.
        vocabulary: number of text ids.
        width: D.
        depth: layers of the reader.
        heads: attention heads.
        length: T, most tokens of a question.
    """

    def __init__(
        self,
        view: nn.Module,
        vocabulary: int,
        width: int,
        depth: int = 2,
        heads: int = 4,
        length: int = 16,
    ) -> None:
        super().__init__()
        self.view = view
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        layer = nn.TransformerDecoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.reader = nn.TransformerDecoder(layer, depth, nn.LayerNorm(width))
        self.answer = nn.Linear(width, len(ANSWERS))

    def logits(self, frames: Tensor, questions: Tensor) -> Tensor:
        """Logits (B, Q, answers) of questions int64 (B, Q, T) about images (B, H, W, 3)."""
        seen = self.view(frames)
        asked, length = questions.shape[1:]
        words = (self.words(questions) + self.positions[:length]).flatten(1, 2)
        of = torch.arange(asked, device=words.device).repeat_interleave(length)
        other = of[:, None] != of[None]
        pad = (questions == 0).flatten(1)
        # Padding sees itself, so that no row of attention is empty.
        mask = other[None] | (pad[:, None] & ~torch.eye(len(of), dtype=torch.bool)[None])
        heads = self.reader.layers[0].self_attn.num_heads
        read = self.reader(
            words,
            seen.tokens,
            tgt_mask=mask.repeat_interleave(heads, 0),
            memory_key_padding_mask=seen.hidden,
        )
        read = read.unflatten(1, (asked, length)) * ~pad.unflatten(1, (asked, length))[..., None]
        count = (~pad).unflatten(1, (asked, length)).sum(-1, keepdim=True).clamp(min=1)
        return self.answer(read.sum(2) / count)

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
