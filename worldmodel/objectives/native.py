"""What the native model is trained for: the next token of whatever is to be said, drawn or done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal.native.model import NativeModel
from multimodal.sequence import Modality
from worldmodel.objectives.balance import GradientBalance

__all__ = ["LEARNED", "NativeObjective"]

LEARNED = ("text", "image", "action")
_OF = {"text": Modality.TEXT, "image": Modality.IMAGE, "action": Modality.ACTION}


class NativeObjective(nn.Module):
    """Cross-entropy of the next token where the mask says so, modality by modality.

    Balanced, each modality's mean loss pulls with its share; otherwise every token counts the same,
    and a modality of few tokens is hardly heard.

    Args:
        model: the model.
        save: writes what goes beside the exported model, such as tokenisers.
        shares: of the pull of text, image and action; None counts tokens.
    """

    def __init__(
        self,
        model: NativeModel,
        save: Callable[[Path], None] | None = None,
        shares: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.save = save
        self.balance = None if shares is None else GradientBalance(LEARNED, shares)

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        within: Tensor,
        modalities: Tensor,
        learn: Tensor,
        values: Tensor,
    ) -> dict[str, Tensor]:
        """Loss of a batch from `multimodal.sequence.collate`.

        Returns:
            loss; the mean loss of each modality present in nats a token, the share of text and
            action tokens said rightly, and the weights where balanced.
        """
        hidden = self.model.hidden(ids, modalities, within, values, positions)
        rows, places = torch.where(learn[:, 1:])
        shared = hidden[rows, places]
        target, kinds = ids[rows, places + 1], modalities[rows, places + 1]
        logits = self.model.logits(shared).float()
        each = F.cross_entropy(logits, target, reduction="none")
        losses, figures = {}, {}
        for name in LEARNED:
            mine = kinds == _OF[name]
            if bool(mine.any()):
                losses[name] = each[mine].mean()
                figures[name] = losses[name].detach()
                if name != "image":
                    said = logits[mine].argmax(-1) == target[mine]
                    figures[f"{name}_right"] = said.float().mean()
        if self.balance is None:
            return {"loss": each.mean(), **figures}
        loss, weights = self.balance(losses, shared)
        return {"loss": loss, **figures, **weights}

    def export(self, directory: Path) -> None:
        """Write the model, and what it reads through, into `directory`."""
        self.model.save_pretrained(directory)
        if self.save is not None:
            self.save(directory)
