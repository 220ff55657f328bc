"""What tokens of a frame are told of one another: which is the outermost, which is the nearest.

No thing shows by itself that it is the leftmost, and no bar that it is the lowest, or what stands
next to it. A token that has looked at the others is told to look like the word for what it is among
them, and things to hold colour and shape of the object that is nearest to them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from multimodal.landmarks import BAR_DETAILS, KINDS
from multimodal.language import COLOURS, SHAPES
from multimodal.language.held_out import HELD_OUT
from multimodal.things import Things
from multimodal.vlm.model import VlmModel
from multimodal.vlm.words import read_words, word_ids

__all__ = ["CompanyLoss", "Neighbours", "neighbours", "outermost", "outstanding"]

_EXTREMES: Final = (" leftmost", " rightmost", " topmost", " bottommost")
_BARS: Final = (" tallest", " lowest")
# Of the half width of a frame; questions ask from 0.14 on, and the reader is off by 0.02.
_CLEAR = 0.06
_TARGETS: Final = tuple(KINDS.index(f"{colour} target") for colour in COLOURS)
# A token that holds so much of a target's middle is where it is.
_MIDDLE = 0.3


class Neighbours(NamedTuple):
    """Anchors of B frames and the object that is nearest to each.

    Attributes:
        nearest: number of the nearest object's slot, int64 (B, A).
        clear: whether it is clearly the nearest, bool (B, A).
    """

    nearest: Tensor
    clear: Tensor


class CompanyLoss(nn.Module):
    """Cross-entropy of what tokens are among others.

    Args:
        tokenizer: of the words.
        width: W, channels of the tokens.
    """

    words: Tensor
    bars: Tensor
    barred: Tensor

    def __init__(self, tokenizer: PreTrainedTokenizerBase, width: int) -> None:
        super().__init__()
        self.shape = nn.Linear(width, len(SHAPES))
        self.colour = nn.Linear(width, len(COLOURS))
        self.register_buffer("words", word_ids(tokenizer, _EXTREMES), persistent=False)
        self.register_buffer("bars", word_ids(tokenizer, _BARS), persistent=False)
        self.register_buffer("barred", torch.from_numpy(HELD_OUT), persistent=False)

    def forward(
        self,
        model: VlmModel,
        tokens_FMW: Tensor,
        glances_FP: Tensor,
        named_FK2: Tensor,
        landmarks_FNK: Tensor,
        printed_FM3: Tensor,
    ) -> Tensor:
        """The loss, scalar.

        Args:
            model: whose projector learns.
            tokens_FMW: its projector's tokens of frames.
            glances_FP: the frames.
            named_FK2: shape and colour of each thing, negative where it has none.
            landmarks_FNK: of the frames.
            printed_FM3: what is printed, as `multimodal.landmarks.details` gives it.
        """
        things = Things.of(model.layout.parts(glances_FP).things.float())
        named = named_FK2[..., 0] >= 0
        blocks = model.projector.blocks(landmarks_FNK.float()).unflatten(-1, (-1, len(KINDS)))
        count = blocks.shape[1]
        tokens = tokens_FMW[:, count : count + named.shape[1]]
        loss = _looks_most(model, tokens, named, self.words, *outermost(things.place, named))
        if model.projector.details is not None:
            bars = len(BAR_DETAILS)
            height = printed_FM3[:, -bars:, 2]
            asking = tokens_FMW[:, -bars:]
            loss = loss + _looks_most(model, asking, height > 0, self.bars, *outstanding(height))
        near = neighbours(things.place, things.place, named, itself=True)
        anchors = near.clear & (things.present[..., 0] > 0.5)
        loss = loss + self._nearest(tokens[anchors], near.nearest, anchors, named_FK2)
        for target in _TARGETS:
            share = landmarks_FNK[..., target].float()
            near = neighbours(_middle(share)[:, None], things.place, named, itself=False)
            there = blocks[..., target].sum(-1) > _MIDDLE
            anchors = there & near.clear
            nearest = near.nearest.expand_as(there)
            loss = loss + self._nearest(tokens_FMW[:, :count][anchors], nearest, anchors, named_FK2)
        return loss

    def _nearest(
        self, tokens_XW: Tensor, nearest_FA: Tensor, anchors_FA: Tensor, named_FK2: Tensor
    ) -> Tensor:
        """Shape and colour of the nearest, without concluding from pairs that are never shown."""
        frames, places = torch.where(anchors_FA)
        if not len(frames):
            return tokens_XW.new_zeros(())
        shape, colour = named_FK2[frames, nearest_FA[frames, places]].unbind(-1)
        tokens = tokens_XW.float()
        shapes = self.shape(tokens).float().masked_fill(self.barred[colour], -torch.inf)
        colours = self.colour(tokens).float().masked_fill(self.barred.T[shape], -torch.inf)
        # Some frames have several targets or none: as many tokens as frames weigh as one.
        weight = len(frames) / anchors_FA.numel()
        return weight * (F.cross_entropy(shapes, shape) + F.cross_entropy(colours, colour))


def _looks_most(
    model: VlmModel,
    tokens_FKW: Tensor,
    there_FK: Tensor,
    words_E: Tensor,
    which_FE: Tensor,
    clear_FE: Tensor,
) -> Tensor:
    """Of the tokens of a frame, which looks most like each word."""
    said = read_words(model.language, tokens_FKW)[..., words_E].transpose(1, 2)
    said = said.masked_fill(~there_FK[:, None], -torch.inf)[clear_FE]
    if not len(said):
        return tokens_FKW.new_zeros(())
    return F.cross_entropy(said, which_FE[clear_FE])


def outermost(place_FK2: Tensor, named_FK: Tensor) -> tuple[Tensor, Tensor]:
    """The leftmost, rightmost, topmost and bottommost object.

    Args:
        place_FK2: column and row of things, -1 to 1.
        named_FK: which of them are objects.

    Returns:
        numbers of slots int64 (F, 4), and bool (F, 4) whether there is a second object, clearly
        less far out.
    """
    across, down = place_FK2.float().unbind(-1)
    return _most(torch.stack([-across, across, -down, down], 1), named_FK, _CLEAR)


def outstanding(height_FB: Tensor) -> tuple[Tensor, Tensor]:
    """The tallest and the lowest bar.

    Args:
        height_FB: marks of the axis; below 1 there is no bar.

    Returns:
        numbers of bars int64 (F, 2), and bool (F, 2) whether there is a second bar, less so.
    """
    height = height_FB.float()
    return _most(torch.stack([height, -height], 1), height_FB > 0, 0.0)


def _most(much_FEK: Tensor, there_FK: Tensor, clear: float) -> tuple[Tensor, Tensor]:
    """Who has most of each, and whether it is by more than `clear`."""
    most = much_FEK.masked_fill(~there_FK[:, None], -torch.inf).topk(2, -1)
    gap = most.values[..., 0] - most.values[..., 1]
    return most.indices[..., 0], gap.isfinite() & (gap > clear)


def neighbours(
    anchors_FA2: Tensor, place_FK2: Tensor, named_FK: Tensor, itself: bool
) -> Neighbours:
    """The object that is nearest to each anchor.

    Args:
        anchors_FA2: places of the anchors.
        place_FK2: places of things.
        named_FK: which of them are objects.
        itself: whether the anchors are the things, none of which is its own neighbour.
    """
    far = torch.cdist(anchors_FA2.float(), place_FK2.float())
    far = far.masked_fill(~named_FK[:, None], torch.inf)
    if itself:
        own = torch.eye(far.shape[1], dtype=torch.bool, device=far.device)
        far = far.masked_fill(own, torch.inf)
    least = far.topk(2, -1, largest=False)
    gap = least.values[..., 1] - least.values[..., 0]
    clear = least.values[..., 0].isfinite() & ~(gap < _CLEAR)
    return Neighbours(least.indices[..., 0], clear)


def _middle(share_FN: Tensor) -> Tensor:
    """The middle (F, 2), -1 to 1, of what is shared among tokens; 0 where nothing is."""
    side = round(share_FN.shape[1] ** 0.5)
    steps = (torch.arange(side, device=share_FN.device) + 0.5) * 2 / side - 1
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    grid = torch.stack([columns.flatten(), rows.flatten()], -1)
    return share_FN @ grid / share_FN.sum(-1, keepdim=True).clamp(min=1e-6)
