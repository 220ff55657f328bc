"""What a projector is told beside answers: which words its tokens are near.

A token whose colour part looks to the language model like the word for that colour is found by the
word, and copied into an answer, without the language model having to learn first that they mean the
same. Read as in the logit lens: through the model's last norm and its output words. What comes by
degrees, such as how far to the left a thing lies, is told by how much nearer a token is to one word
than to its opposite, so that two things can be compared along the way from word to word.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from multimodal.glance import GlanceLayout
from multimodal.landmarks import KINDS
from multimodal.language import COLOURS, SHAPES
from multimodal.language.about_print import TALLEST_BAR
from multimodal.language.vocabulary import GLYPHS
from multimodal.things import Things, shift_of
from multimodal.vlm.model import VlmModel
from multimodal.vlm.words import read_words, word_ids

__all__ = ["SpellingLoss", "details_shares", "kind_words", "whereabouts"]

# A block of the grid that holds so much of something's middle is where it is.
_MIDDLE = 0.3
# Questions of quarters say top and bottom, those of relations above and below.
_PLACES: Final = (
    *("left", "right", "top", "bottom", "above", "below"),
    *("pusher", "moved", "up", "down"),
)
# Of the half width of a frame: a third of the way to the edge is nine times as likely the one word.
_PLACE_SCALE = 0.15
# The reader of layers shakes by 0.02, and what moved by 0.075 is asked about.
_MOVED, _MOVED_SCALE = 0.045, 0.01
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
# What a token that asks for a character or a bar may come to say.
_DETAILS: Final = (
    *GLYPHS,
    *(f" {colour}" for colour in COLOURS),
    *(str(height) for height in range(1, TALLEST_BAR + 1)),
    *(" bar", " tallest", " lowest", " nothing"),
)


def kind_words(kind: str) -> list[str]:
    """The words of texts for a kind of landmark, such as " red" and "3" for a red bar.

    Args:
        kind: one of `multimodal.landmarks.KINDS`.
    """
    first, *others = kind.split()
    if others[0] == "number":
        nth = f" {_ORDINALS[int(others[1]) - 1]}"
        return [nth] if first == "letter" else [f" {first}", nth]
    if first == "letter":
        return [others[0]]
    return [f" {first}", f" {others[0]}", *others[1:]]


class SpellingLoss(nn.Module):
    """Cross-entropy of the words for what tokens show.

    Shapes are told from the shape's part of a thing alone, colours from the colour's, and from the
    place's where it lies, whether it moved, and whether it is the pusher. Tokens of the grid are
    told letters, their order, targets and bars; tokens that ask for details, what those are.

    Args:
        tokenizer: of the words.
    """

    shapes: Tensor
    colours: Tensor
    places: Tensor
    landmarks: Tensor
    spelled: Tensor
    details: Tensor

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        per_kind = [kind_words(kind) for kind in KINDS]
        words = sorted({word for each in per_kind for word in each})
        table = torch.tensor([[float(word in each) for word in words] for each in per_kind])
        groups = {
            "shapes": [f" {word}" for word in SHAPES],
            "colours": [f" {word}" for word in COLOURS],
            "places": [f" {word}" for word in _PLACES],
            "landmarks": words,
            "details": _DETAILS,
        }
        for name, group in groups.items():
            self.register_buffer(name, word_ids(tokenizer, group), persistent=False)
        self.register_buffer("spelled", table, persistent=False)

    def forward(
        self,
        model: VlmModel,
        features_FND: Tensor,
        tokens_FMW: Tensor,
        glances_FP: Tensor,
        first_F: Tensor,
        named_FK2: Tensor,
        landmarks_FNK: Tensor,
        printed_FM3: Tensor,
    ) -> Tensor:
        """The loss, scalar.

        Args:
            model: whose projector learns.
            features_FND: its tower's features of frames.
            tokens_FMW: its projector's tokens of these.
            glances_FP: the frames.
            first_F: the number of the frame that each is compared with, its row's first.
            named_FK2: shape and colour of each thing, negative where it has none.
            landmarks_FNK: of the frames.
            printed_FM3: what is printed, as `multimodal.landmarks.details` gives it.
        """
        loss = self._looks(model, features_FND, named_FK2)
        if model.layout.slots:
            loss = loss + self._whereabouts(model, features_FND, glances_FP, first_F)
        if model.projector.details is not None:
            share = details_shares(printed_FM3)
            said = read_words(model.language, tokens_FMW[:, -share.shape[1] :].flatten(0, 1))
            loss = loss + _soft(said, self.details, share.flatten(0, 1))
        return loss + self._grid(model, tokens_FMW, landmarks_FNK)

    def _looks(self, model: VlmModel, features_FND: Tensor, named_FK2: Tensor) -> Tensor:
        """Shapes and colours of things that have names."""
        loss = features_FND.new_zeros(())
        frames, slots = torch.where(named_FK2[..., 0] >= 0)
        if not len(frames):
            return loss
        things = features_FND[frames, model.projector.tokens + slots]
        kinds = named_FK2[frames, slots]
        for part, words in enumerate((self.shapes, self.colours)):
            said = read_words(model.language, model.projector.part_of(things, part))
            loss = loss + F.cross_entropy(said, words[kinds[:, part]])
        return loss

    def _whereabouts(
        self, model: VlmModel, features_FND: Tensor, glances_FP: Tensor, first_F: Tensor
    ) -> Tensor:
        """Where things lie, and whether they moved since the row's first frame."""
        share, present = whereabouts(model.layout, glances_FP, glances_FP[first_F])
        things = features_FND[:, model.projector.tokens :][present]
        if not len(things):
            return features_FND.new_zeros(())
        said = read_words(model.language, model.projector.part_of(things, 2))
        return _soft(said, self.places, share[present])

    def _grid(self, model: VlmModel, tokens_FMW: Tensor, landmarks_FNK: Tensor) -> Tensor:
        """Letters, targets and bars."""
        kinds = model.projector.blocks(landmarks_FNK.float()).unflatten(-1, (-1, len(KINDS)))
        most = kinds.sum(-2)
        words = (most * (most > _MIDDLE)) @ self.spelled
        there = words.sum(-1) > 0
        if not bool(there.any()):
            return tokens_FMW.new_zeros(())
        tokens = tokens_FMW[:, : there.shape[1]]
        return _soft(read_words(model.language, tokens[there]), self.landmarks, words[there])


def whereabouts(
    layout: GlanceLayout, glances_FP: Tensor, before_FP: Tensor
) -> tuple[Tensor, Tensor]:
    """How much each word for a place holds of each thing.

    Args:
        layout: of the rows.
        glances_FP: frames.
        before_FP: the frames that they are compared with.

    Returns:
        float (F, K, words) of left, right, top, bottom, above, below, pusher, moved, up and down,
        and bool (F, K) whether there is such a thing.
    """
    things = Things.of(layout.parts(glances_FP).things.float())
    across, down = (things.place / _PLACE_SCALE).unbind(-1)
    shift = shift_of(things, Things.of(layout.parts(before_FP).things.float()))
    far = shift.norm(dim=-1)
    moved = torch.sigmoid((far - _MOVED) / _MOVED_SCALE)
    upright = moved * shift[..., 1].abs() / far.clamp(min=1e-3)
    up = (shift[..., 1] < 0).float()
    share = [torch.sigmoid(-across), torch.sigmoid(across)]
    share += 2 * [torch.sigmoid(-down), torch.sigmoid(down)]
    share += [things.driven[..., 0], moved, upright * up, upright * (1 - up)]
    return torch.stack(share, -1), things.present[..., 0] > 0.5


def details_shares(printed_FM3: Tensor) -> Tensor:
    """How much each word holds of each printed detail.

    Args:
        printed_FM3: as `multimodal.landmarks.details` gives it.

    Returns:
        float (F, DETAILS, words) of the characters, the colours, the heights, bar, tallest, lowest
        and nothing.
    """
    glyph, colour, height = printed_FM3.unbind(-1)
    bar = (height > 0).float()
    tall = torch.where(height > 0, height, 0)
    low = torch.where(height > 0, height, TALLEST_BAR + 1)
    # Only one can be the tallest, and of a single bar nothing is said.
    several = bar.sum(-1, keepdim=True) > 1
    extremes = []
    for each, most in ((tall, tall.amax(-1, keepdim=True)), (low, low.amin(-1, keepdim=True))):
        one = (each == most) & several
        extremes.append((one & (one.sum(-1, keepdim=True) == 1)).float())
    kinds = ((glyph, len(GLYPHS), 0), (colour, len(COLOURS), 0), (height, TALLEST_BAR, 1))
    one_hot = [
        F.one_hot((which - first).clamp(min=0), count) * (which >= first)[..., None]
        for which, count, first in kinds
    ]
    nothing = ((glyph < 0) & (height <= 0)).float()
    words = [bar, *extremes, nothing]
    return torch.cat([*(each.float() for each in one_hot), torch.stack(words, -1)], -1)


def _soft(logits_XV: Tensor, words_M: Tensor, share_XM: Tensor) -> Tensor:
    """How far words are from their shares, in nats; 0 where they are met."""
    said = logits_XV.log_softmax(-1)[:, words_M]
    share = share_XM / share_XM.sum(-1, keepdim=True)
    return F.kl_div(said, share, reduction="batchmean")
