"""What the vision-language model is trained for: the right answer's tokens."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from multimodal.errors import MissingExtraError
from multimodal.vlm.copying import OWN, SHAPE, Copied
from multimodal.vlm.language import hidden_states, next_logits
from multimodal.vlm.model import Sight, VlmModel, answer_log_probability
from multimodal.vlm.preferences import KEPT
from multimodal.vlm.shared import TEXT_FOLDER
from multimodal.vlm.turns import IGNORED
from multimodal.vlm.unproven import unproven_places
from worldmodel.objectives.company import CompanyLoss
from worldmodel.objectives.landmarks import LandmarkHead
from worldmodel.objectives.spelling import SpellingLoss

__all__ = [
    "AnswerObjective",
    "LanguageObjective",
    "PreferenceObjective",
    "copying_loss",
    "pointing_loss",
    "train_only",
]

# How much the chosen answer's own likelihood counts beside the preference (arXiv 2404.19733): the
# preference alone may lower both, as long as the rejected one falls faster.
_CHOSEN_WEIGHT = 0.5
# How much what is told beside answers counts.
_WEIGHTS = {"landmarks": 1.0, "spelling": 1.0, "company": 0.5, "pointing": 0.3, "copying": 1.0}


def train_only(model: VlmModel, parts: Sequence[str]) -> VlmModel:
    """Let some parts of a model learn and freeze all others; returns the model.

    Args:
        model: the model.
        parts: of "tower", "projector", "language" and "copier"; a model may lack the last.
    """
    model.requires_grad_(False)
    for part in filter(None, (getattr(model, name) for name in parts)):
        part.requires_grad_(True)
    return model


class LanguageObjective(nn.Module):
    """Cross-entropy of every token of sentences about the world, with no picture.

    Args:
        language: a causal language model.
        tokenizer: goes beside the exported model.
    """

    def __init__(self, language: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.language = language
        self.tokenizer = tokenizer

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Loss of a batch of sentences from `collate_rows`."""
        embedded = self.language.get_input_embeddings()(batch["ids"])
        hidden, _ = hidden_states(self.language, embedded, batch)
        said = next_logits(self.language, hidden, batch["labels"], batch["barred"])
        return {"loss": F.cross_entropy(said.logits, said.ids)}

    def export(self, directory: Path) -> None:
        """Write the language model and its tokeniser into `directory`."""
        self.language.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory / TEXT_FOLDER)


class AnswerObjective(nn.Module):
    """Cross-entropy of the answers' tokens; questions are given, not learnt.

    Where the batch says what each token shows, the projector also learns to bring it near the word
    for that, and the tower, where it learns, to see it; and where it says which token a question is
    about, the first head of the language model's middle layer learns to look there. A model that
    copies is told which words are copied, and from which thing.

    Args:
        model: the model, with what is to learn left free by `train_only`.
        tokenizer: goes beside the exported model.
        lora_rank: rank of LoRA matrices (arXiv 2106.09685) on every linear layer of the language
            model, which then is frozen itself; 0 for none.

    Raises:
        MissingExtraError: LoRA without `peft`.
    """

    def __init__(
        self, model: VlmModel, tokenizer: PreTrainedTokenizerBase, lora_rank: int = 0
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        # Not registered: its layers are in the model already.
        self.__dict__["adapter"] = _with_lora(model, lora_rank) if lora_rank else None
        learns = any(weight.requires_grad for weight in model.tower.parameters())
        self.landmarks = LandmarkHead(model.config.width) if learns else None
        self.spelling = SpellingLoss(tokenizer)
        width = model.language.config.hidden_size
        together = model.projector.exchange is not None and model.layout.slots
        self.company = CompanyLoss(tokenizer, width) if together else None

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Loss of a batch from `collate_rows`; also the share of tokens that are guessed right.

        What training must not conclude from is left out there as well.
        """
        seen = self.model.see(batch["ids"], batch["glances"])
        said, attended, copied = self.model.answer(batch, seen, looks=True)
        answers = F.cross_entropy(said.logits, said.ids)
        right = (said.logits.argmax(-1) == said.ids).float().mean()
        if "landmarks" not in batch or seen is None:
            return {"loss": answers, "right": right.detach()}
        told = {"answers": answers, **self._told(batch, seen)}
        if attended:
            middle = attended[len(attended) // 2]
            first = self.model.first_of_rows(batch["ids"])
            barred = unproven_places(batch["looks"], batch["named"], first, self.model.frame)
            told["pointing"] = pointing_loss(middle, batch["looks"], barred)
        if copied is not None:
            labels = batch["copies"][:, 1:][said.rows, said.places]
            ends = said.ids == self.model.marks.eos
            told["copying"] = copying_loss(copied, labels, ends)
        loss = torch.stack([_WEIGHTS.get(name, 1.0) * each for name, each in told.items()]).sum()
        return {
            "loss": loss,
            "right": right.detach(),
            **{name: each.detach() for name, each in told.items()},
        }

    def _told(self, batch: dict[str, Tensor], seen: Sight) -> dict[str, Tensor]:
        """Losses of what the simulator knows beside answers."""
        named, marks, printed = (batch[name] for name in ("named", "landmarks", "printed"))
        first = self.model.first_frames(batch["ids"])
        glances, features, tokens = seen
        told = {
            "spelling": self.spelling(
                self.model, features, tokens, glances, first, named, marks, printed
            )
        }
        if self.company is not None:
            told["company"] = self.company(self.model, tokens, glances, named, marks, printed)
        if self.landmarks is not None:
            told["landmarks"] = self.landmarks(features, marks)
        return told

    def export(self, directory: Path) -> None:
        """Write the model and the tokeniser of texts into `directory`, LoRA merged into it."""
        if (adapter := self.__dict__["adapter"]) is not None:
            adapter.merge_and_unload()
            self.__dict__["adapter"] = None
        self.model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory / TEXT_FOLDER)


def pointing_loss(attended_BHLL: Tensor, looks_BL: Tensor, barred_XL: Tensor) -> Tensor:
    """How far the first head is from looking where the answer is, in nats.

    One head that has to follow every question: of several the best one, four would do that look at
    the leftmost, the rightmost, the topmost and the bottommost whatever is asked.

    Args:
        attended_BHLL: what a layer attends to.
        looks_BL: the place that each token is to look at, IGNORED where it is not known.
        barred_XL: for each of the X places where it is known, those that take no part.
    """
    rows, places = torch.where(looks_BL != IGNORED)
    if not len(rows):
        return attended_BHLL.new_zeros(())
    shares = attended_BHLL[rows, 0, places].float() * ~barred_XL
    share = shares.gather(1, looks_BL[rows, places][:, None])[:, 0]
    return -(share / shares.sum(-1).clamp(min=1e-6)).clamp(min=1e-6).log().mean()


def copying_loss(copied: Copied, labels_X2: Tensor, ends_X: Tensor) -> Tensor:
    """How far it is from known what is copied, from which thing, and what ends, in nats.

    An answer's end is told from what is left to name alone: with the language model's own opinion,
    which seldom errs in training, little would be learnt. Where nothing is surely an object, as on
    signs and charts, there is nothing to tell it from.

    Args:
        copied: of X places of answers.
        labels_X2: part and slot of what comes next, IGNORED where they are not known.
        ends_X: whether that is the answer's end.
    """
    part, slot = labels_X2.unbind(-1)
    known = part != IGNORED
    if not bool(known.any()):
        return copied.parts.new_zeros(())
    loss = F.nll_loss(copied.parts[known], part[known])
    from_things = known & (part != OWN)
    if bool(from_things.any()):
        which = copied.which[from_things, part[from_things] - SHAPE]
        loss = loss + F.nll_loss(which, slot[from_things])
    told = known & (part == OWN) & copied.objects
    if bool(told.any()):
        ends = F.binary_cross_entropy_with_logits(copied.ends[told], ends_X[told].float())
        loss = loss + ends
    return loss


def _with_lora(model: VlmModel, rank: int) -> Any:
    """Put LoRA layers into the language model and freeze the rest of it."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise MissingExtraError(
            "size.instruct.lora_rank needs peft: pip install 'worldmodel[lora]', or set it to 0."
        ) from error
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(model.language, config)


class PreferenceObjective(AnswerObjective):
    """Direct preference optimisation (arXiv 2305.18290): true answers over false ones.

    Rows of questions that come beside the pairs are answered as in instruction tuning.

    Args:
        model: the model, as it came out of instruction tuning; a frozen copy is the reference.
        tokenizer: goes beside the exported model.
        beta: how far the model may go from the reference.
    """

    def __init__(
        self, model: VlmModel, tokenizer: PreTrainedTokenizerBase, beta: float = 0.1
    ) -> None:
        super().__init__(model, tokenizer)
        self.landmarks = self.company = None
        self.beta = beta
        reference = copy.deepcopy(model).requires_grad_(False).eval()
        # Not registered: it never changes, so that no checkpoint needs it.
        self.__dict__["reference"] = reference

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Loss of a batch from `collate_pairs`; also the share of pairs ordered rightly."""
        kept = {n.removeprefix(KEPT): v for n, v in batch.items() if n.startswith(KEPT)}
        batch = {name: value for name, value in batch.items() if not name.startswith(KEPT)}
        reference = self.__dict__["reference"].to(batch["ids"].device)
        likely = answer_log_probability(self.model, batch)
        with torch.no_grad():
            before = answer_log_probability(reference, batch)
        chosen, rejected = (likely - before).chunk(2)
        margin = self.beta * (chosen - rejected)
        true, false = likely.chunk(2)
        tokens = (batch["labels"] != IGNORED).sum(-1).chunk(2)[0]
        loss = -F.logsigmoid(margin).mean() - _CHOSEN_WEIGHT * (true / tokens).mean()
        answers = loss.new_zeros(())
        if kept:
            said = self.model.answer(kept).next
            answers = F.cross_entropy(said.logits, said.ids)
        return {
            "loss": loss + answers,
            "answers": answers.detach(),
            "ordered": (true > false).float().mean(),
            "margin": margin.detach().mean(),
        }
