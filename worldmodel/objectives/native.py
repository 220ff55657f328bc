"""What the native model is trained for: the next token of whatever is to be said, drawn or done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    Which modality comes next is a matter of grammar, which whoever writes follows; a token is told
    apart from the others of its modality only, at a fraction of the cost.

    Balanced, each modality's mean loss pulls with its share; otherwise every token counts the same,
    and a modality of few tokens is hardly heard.

    Beside it, the codes of pictures are told the words for what they show, read as the logit lens
    reads: a code at the middle of a red cube shall look like " red" and like " cube", any other
    like padding. Then a word of a question finds the code it speaks of, and the code's words can be
    copied into the answer, which answers alone teach only after many times as many steps.

    Args:
        model: the model.
        looks: ids of the words for shapes, then of those for colours.
        save: writes what goes beside the exported model, such as tokenisers.
        shares: of the pull of text, image and action; None counts tokens.
    """

    shapes: Tensor
    colours: Tensor

    def __init__(
        self,
        model: NativeModel,
        looks: tuple[Sequence[int], Sequence[int]],
        save: Callable[[Path], None] | None = None,
        shares: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.save = save
        for name, ids in zip(("shapes", "colours"), looks, strict=True):
            # Counted from 1: nothing looks like padding.
            known = torch.tensor([model.words.pad, *ids])
            self.register_buffer(name, known, persistent=False)
        self.balance = None if shares is None else GradientBalance(LEARNED, shares)

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        within: Tensor,
        modalities: Tensor,
        learn: Tensor,
        values: Tensor,
        named: Tensor,
    ) -> dict[str, Tensor]:
        """Loss of a batch of `multimodal.native.rows.NativeRows`.

        Returns:
            loss; the mean loss of each modality present in nats a token, the share of text and
            action tokens said rightly; looks, how far codes are from looking like the words for
            what they show; and the weights where balanced.
        """
        table = self.model.table()
        hidden = self.model.hidden(ids, modalities, within, values, positions, table=table)
        losses, figures, told = {}, {}, []
        for name in LEARNED:
            first, count = self.model.words.span(_OF[name])
            target = ids[:, 1:] - first
            mine = (
                learn[:, 1:] & (modalities[:, 1:] == _OF[name]) & (target >= 0) & (target < count)
            )
            if not bool(mine.any()):
                continue
            logits = self.model.logits(hidden[:, :-1][mine], table[first : first + count]).float()
            each = F.cross_entropy(logits, target[mine], reduction="none")
            told.append(each)
            losses[name] = each.mean()
            figures[name] = losses[name].detach()
            if name != "image":
                figures[f"{name}_right"] = (logits.argmax(-1) == target[mine]).float().mean()
        looks = (modalities == Modality.IMAGE) & (within > 0)
        figures["looks"] = self._looks(ids[looks], named[looks], table)
        if self.balance is None:
            loss = torch.cat(told).mean()
        else:
            loss, weights = self.balance(losses, hidden)
            figures |= weights
        return {"loss": loss + figures["looks"], **figures}

    def _looks(self, ids: Tensor, named: Tensor, table: Tensor) -> Tensor:
        """Cross-entropy of the words for what codes (X,) show; middles weigh as all the others."""
        if not len(ids):
            return table.new_zeros(())
        said = self.model.likeness(ids, table).log_softmax(-1)
        words = torch.stack([self.shapes[named[:, 0]], self.colours[named[:, 1]]], 1)
        each = -said.gather(1, words).mean(1)
        there = named[:, 0] > 0
        return sum(
            (each[mine].mean() for mine in (there, ~there) if bool(mine.any())), each.new_zeros(())
        )

    def export(self, directory: Path) -> None:
        """Write the model, and what it reads through, into `directory`."""
        self.model.save_pretrained(directory)
        if self.save is not None:
            self.save(directory)
