"""Words that are read off the things of a picture instead of being made up.

What a language model says of balls it has learnt from balls: to one that was never shown an orange
ball the first one is red, however orange its token is. A copied word depends on which thing is
meant, and then on nothing but what that thing's colour, or its shape, looks like by itself (a
pointer beside a generator, arXiv 1704.04368).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from multimodal.language import COLOURS, SHAPES, Scene
from multimodal.language.question import article
from multimodal.vlm.pointing import Pointing
from multimodal.vlm.words import whole_words

__all__ = [
    "ARTICLE",
    "COLOUR",
    "COPIED",
    "OWN",
    "SHAPE",
    "Copied",
    "Copier",
    "Copying",
    "Shown",
    "copied_ids",
]

_ARTICLES: Final = ("a", "an")
COPIED: Final = (*SHAPES, *COLOURS, *_ARTICLES)
"""Words that can be copied: a thing's shape, its colour, and the article that its colour takes."""
OWN: Final = 0
"""The part of a word that is the language model's own."""
SHAPE, COLOUR, ARTICLE = 1, 2, 3
"""The parts of a word that is copied."""
_TAKES_AN: Final = [place for place, colour in enumerate(COLOURS) if article(colour)[:2] == "an"]
_LEAST = 1e-30
# Large enough to leave nothing, and finite.
_OFF = -1e9
# At first nearly every word is the language model's own.
_OWN_AT_FIRST = 3.0


class Shown(NamedTuple):
    """The things of F frames, as words are copied from them.

    Attributes:
        parts: what they are known by, tokens of shape, colour and place (F, K, 3, W).
        words: what each is called, shares (F, K, COPIED); shapes, colours and articles sum to one
            each.
        there: bool (F, K), where there is a thing.
    """

    parts: Tensor
    words: Tensor
    there: Tensor

    @classmethod
    def of(
        cls, parts_FK3W: Tensor, shapes_FKV: Tensor, colours_FKV: Tensor, there_FK: Tensor
    ) -> Shown:
        """Things by what their shapes and their colours look like.

        Args:
            parts_FK3W: what they are known by.
            shapes_FKV: logits of SHAPES.
            colours_FKV: logits of COLOURS.
            there_FK: where there is a thing.
        """
        colours = colours_FKV.float().softmax(-1)
        takes_an = colours[..., _TAKES_AN].sum(-1, keepdim=True)
        shapes = shapes_FKV.float().softmax(-1)
        words = torch.cat([shapes, colours, 1 - takes_an, takes_an], -1)
        return cls(parts_FK3W, words, there_FK)


class Copied(NamedTuple):
    """What comes next at X places.

    Attributes:
        words: log-probabilities of the vocabulary (X, V).
        parts: log-probabilities that it is the model's own word, a shape, a colour, an article;
            (X, 4).
        which: log-probabilities of the things where it is a shape, a colour, an article;
            (X, 3, K).
    """

    words: Tensor
    parts: Tensor
    which: Tensor


class Copier(nn.Module):
    """Decides whether the next word is a thing's shape or colour, and which thing's.

    A thing is found by how well its shape, its colour and its place fit, each by itself: a cross of
    a colour that no cross had in training is as much of a cross. And by all but what is said of it:
    who looks for the thing whose colour is asked for must not expect one.

    Args:
        width: W, channels of the language model.
        ids: of COPIED in its vocabulary.
    """

    ids: Tensor
    of_part: Tensor

    def __init__(self, width: int, ids: Sequence[int]) -> None:
        super().__init__()
        self.part = nn.Linear(width, 4)
        self.ask = nn.Linear(width, width)
        self.keys = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(3))
        with torch.no_grad():
            self.part.bias[OWN] += _OWN_AT_FIRST
        sizes = torch.tensor([len(SHAPES), len(COLOURS), len(_ARTICLES)])
        of_part = torch.eye(3).repeat_interleave(sizes, 1)
        self.register_buffer("ids", torch.tensor(ids), persistent=False)
        self.register_buffer("of_part", of_part, persistent=False)

    def forward(
        self,
        logits_XV: Tensor,
        hidden_XW: Tensor,
        shown: Shown,
        frame_X: Tensor,
        barred_XK: Tensor | None = None,
    ) -> Copied:
        """What comes next where the language model has its say and things are shown.

        What is barred in the language model's logits may still be copied: a shape is read without
        the colour.

        Args:
            logits_XV: the language model's.
            hidden_XW: its last hidden state.
            shown: the things of F frames, F at least 1.
            frame_X: the frame that each place copies from; negative for none.
            barred_XK: things that take no part in the choice.
        """
        # Shares are compared and multiplied: bfloat16 is too coarse.
        with torch.autocast(hidden_XW.device.type, enabled=False):
            hidden, frame = hidden_XW.float(), frame_X.clamp(min=0)
            there = shown.there[frame] & (frame_X >= 0)[:, None]
            if barred_XK is not None:
                there = there & ~barred_XK
            which = self._fit(hidden, shown.parts.float(), frame)
            which = which.masked_fill(~there[:, None], _OFF).log_softmax(-1)
            own = torch.full((len(hidden), 4), _OFF, device=hidden.device)
            own[:, OWN] = 0
            parts = torch.where(there.any(-1, keepdim=True), self.part(hidden), own)
            parts = parts.log_softmax(-1)
            said = ((which.exp() @ shown.words[frame]) * self.of_part).transpose(1, 2)
            copied = (said @ parts[:, SHAPE:, None].exp())[..., 0]
            words = parts[:, OWN, None].exp() * logits_XV.float().softmax(-1)
            words = words.index_add(-1, self.ids, copied)
            return Copied(words.clamp(min=_LEAST).log(), parts, which)

    @property
    def shapes(self) -> Tensor:
        """The ids of SHAPES."""
        return self.ids[: len(SHAPES)]

    @property
    def colours(self) -> Tensor:
        """The ids of COLOURS."""
        return self.ids[len(SHAPES) : len(SHAPES) + len(COLOURS)]

    def _fit(self, hidden_XW: Tensor, parts_FK3W: Tensor, frame_X: Tensor) -> Tensor:
        """How well things fit where a shape, a colour, an article is said of them, (X, 3, K)."""
        keys = torch.stack(
            [key(part) for key, part in zip(self.keys, parts_FK3W.unbind(2), strict=True)], 1
        )
        asked = self.ask(hidden_XW)[:, None, None] * keys[frame_X]
        shape, colour, place = (asked.sum(-1) / asked.shape[-1] ** 0.5).unbind(1)
        return torch.stack([colour + place, shape + place, shape + place], 1)


def copied_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids of COPIED in a tokeniser's vocabulary; none where it cuts one of them in pieces."""
    whole = whole_words(tokenizer, COPIED)
    return [whole[word] for word in COPIED] if len(whole) == len(COPIED) else []


class Copying:
    """Which of an answer's tokens are said of which thing, as the simulator knows it.

    Args:
        tokenizer: of texts; words that it cuts in pieces are left to the language model.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._words = {number: word for word, number in whole_words(tokenizer, COPIED).items()}

    def of(
        self, answer: Sequence[int], scene: Scene, pointing: Pointing, said_of: int | None = None
    ) -> tuple[tuple[int, int], ...]:
        """For each token of an answer its part, and the slot of the thing that it is said of.

        Args:
            answer: its token ids.
            scene: what its last frame shows.
            pointing: where that frame's tokens are.
            said_of: the token of the frame that a shape or a colour alone is said of; None where
                the answer is none such, or it is not known.
        """
        words = [self._words.get(each, "") for each in answer]
        parts = [(OWN, 0)] * len(words)
        alone = None if said_of is None else pointing.frame.slot_of(said_of)
        for place, (before, word, after) in enumerate(
            zip(["", *words], words, [*words[1:], ""], strict=False)
        ):
            if word in COLOURS and after in SHAPES:
                thing = scene.find(word)
                slot = None if thing is None else pointing.slot(thing)
                if slot is not None:
                    parts[place : place + 2] = [(COLOUR, slot), (SHAPE, slot)]
                if slot is not None and before in _ARTICLES:
                    parts[place - 1] = (ARTICLE, slot)
            elif alone is not None and word in COLOURS:
                parts[place] = (COLOUR, alone)
            elif alone is not None and word in SHAPES and before not in COLOURS:
                parts[place] = (SHAPE, alone)
        return tuple(parts)
