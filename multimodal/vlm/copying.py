"""Words that are read off the things of a picture instead of being made up.

What a language model says of balls it has learnt from balls: to one that was never shown an orange
ball the first one is red, however orange its token is. A copied word depends on which thing is
meant, and then on nothing but what that thing's colour, or its shape, looks like by itself (a
pointer beside a generator, arXiv 1704.04368).

Which thing is meant depends on what the answer has said already. Nothing is named twice (coverage,
in that paper's word for it), and a shape that follows a colour is that of the thing of this colour.
No two objects of a scene share a colour, so a thing that is of a colour that was said has been
named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
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
    "Said",
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
# Of a thing that what was said does not fit: it is meant only where nothing else is there.
_LEAST_FIT = 1e-6
# How much more what was said counts than how sure the words for things are: shares of 1e-5, of a
# thing that surely is called otherwise, would not outweigh a place that fits well.
_SAID_STRENGTH = 4.0
# What is surely called so much is an object: of a sign or a chart no shape is sure.
_SURE = 0.98
# An end is certain or impossible, which small weights learn to say only slowly.
_ENDS_STRENGTH = 8.0
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
        there: bool (F, K), where there is a thing that has a name.
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
            there_FK: where there is a thing that has a name.
        """
        colours = colours_FKV.float().softmax(-1)
        takes_an = colours[..., _TAKES_AN].sum(-1, keepdim=True)
        shapes = shapes_FKV.float().softmax(-1)
        words = torch.cat([shapes, colours, 1 - takes_an, takes_an], -1)
        return cls(parts_FK3W, words, there_FK)


class Said(NamedTuple):
    """What the answers at X places have said so far, of the words that can be copied.

    Attributes:
        named: bool (X, COPIED), the words that an answer has said.
        just: bool (X, COPIED), the one that it said last; none where that was another word.
    """

    named: Tensor
    just: Tensor

    @classmethod
    def nothing(cls, places: int, copied_ids: Tensor) -> Said:
        """At the beginning of answers."""
        none = torch.zeros(places, len(copied_ids), dtype=torch.bool, device=copied_ids.device)
        return cls(none, none)

    def then(self, ids_X: Tensor, copied_ids: Tensor) -> Said:
        """One more word of each answer.

        Args:
            ids_X: the words' ids.
            copied_ids: of COPIED.
        """
        just = ids_X[:, None] == copied_ids
        return Said(self.named | just, just)

    @classmethod
    def at(
        cls, labels_BL: Tensor, turns_BL: Tensor, rows_X: Tensor, places_X: Tensor, ids: Tensor
    ) -> Said:
        """Up to some places of rows that `collate_rows` laid out, these included.

        Args:
            labels_BL: ids of answers, negative elsewhere.
            turns_BL: the turn of each token.
            rows_X: the rows of the places.
            places_X: the places in them.
            ids: of COPIED.
        """
        said = labels_BL[..., None] == ids
        count = said.cumsum(1)
        here = torch.arange(labels_BL.shape[1], device=ids.device).expand_as(turns_BL)
        begins = F.pad(turns_BL[:, 1:] != turns_BL[:, :-1], (1, 0), value=True)
        begin = torch.where(begins, here, 0).cummax(1).values[rows_X, places_X]
        earlier = (count - said.long())[rows_X, begin]
        return cls(count[rows_X, places_X] > earlier, said[rows_X, places_X])


class Copied(NamedTuple):
    """What comes next at X places.

    Attributes:
        words: log-probabilities of the vocabulary (X, V).
        parts: log-probabilities that it is the model's own word, a shape, a colour, an article;
            (X, 4).
        which: log-probabilities of the things where it is a shape, a colour, an article;
            (X, 3, K).
        ends: what the end of the answer gains by what is left to name (X,).
        objects: bool (X,), where a thing is surely an object; elsewhere the end gains nothing.
    """

    words: Tensor
    parts: Tensor
    which: Tensor
    ends: Tensor
    objects: Tensor


class Copier(nn.Module):
    """Decides whether the next word is a thing's shape or colour, and which thing's.

    A thing is found by how well its shape, its colour and its place fit, each by itself: a cross of
    a colour that no cross had in training is as much of a cross. And by all but what is said of it:
    who looks for the thing whose colour is asked for must not expect one. Then by what the answer
    has said, which is not learnt. What is learnt is where an answer goes on as long as a thing is
    left to name, and ends with the last.

    Args:
        width: W, channels of the language model.
        ids: of COPIED in its vocabulary.
        end: the id that ends an answer.
    """

    ids: Tensor
    of_part: Tensor

    def __init__(self, width: int, ids: Sequence[int], end: int) -> None:
        super().__init__()
        self.end = end
        self.part = nn.Linear(width, 4)
        self.ask = nn.Linear(width, width)
        self.keys = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(3))
        self.ends = nn.Linear(width, 1)
        with torch.no_grad():
            self.part.bias[OWN] += _OWN_AT_FIRST
            self.ends.weight.zero_()
            self.ends.bias.zero_()
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
        said: Said | None = None,
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
            said: what the answers have said so far; None at their beginning.
            barred_XK: things that take no part in the choice.
        """
        # Shares are compared and multiplied: bfloat16 is too coarse.
        with torch.autocast(hidden_XW.device.type, enabled=False):
            hidden, frame = hidden_XW.float(), frame_X.clamp(min=0)
            there = shown.there[frame] & (frame_X >= 0)[:, None]
            if barred_XK is not None:
                there = there & ~barred_XK
            said = Said.nothing(len(hidden), self.ids) if said is None else said
            called = shown.words[frame].detach()
            named = self._named(called, said)
            which = self._fit(hidden, shown.parts.float(), frame)
            which = which + self._goes_on(called, named, said)
            which = which.masked_fill(~there[:, None], _OFF).log_softmax(-1)
            own = torch.full((len(hidden), 4), _OFF, device=hidden.device)
            own[:, OWN] = 0
            parts = torch.where(there.any(-1, keepdim=True), self.part(hidden), own)
            parts = parts.log_softmax(-1)
            words_X3V = (which.exp() @ shown.words[frame]) * self.of_part
            copied = (words_X3V.transpose(1, 2) @ parts[:, SHAPE:, None].exp())[..., 0]
            objects = shown.there[frame] & (frame_X >= 0)[:, None] & self._sure(called)
            ends = self._ends(hidden, named, objects)
            own_words = logits_XV.float().index_add(-1, ends.new_tensor([self.end]).long(), ends)
            words = parts[:, OWN, None].exp() * own_words.softmax(-1)
            words = words.index_add(-1, self.ids, copied)
            likely = words.clamp(min=_LEAST).log()
            return Copied(likely, parts, which, ends[:, 0], objects.any(-1))

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

    def _named(self, called_XKV: Tensor, said: Said) -> Tensor:
        """How much things have been named already, by their colours, (X, K) in [0, 1]."""
        colours = said.named * self.of_part[COLOUR - SHAPE]
        return (called_XKV @ colours[..., None])[..., 0].clamp(max=1)

    def _goes_on(self, called_XKV: Tensor, named_XK: Tensor, said: Said) -> Tensor:
        """How well things fit what was said: of whom a shape, a colour, an article is, (X, 3, K).

        A shape is that of the thing whose colour was just said, a colour that of a thing whose
        article was, and articles and colours are those of things that are not named yet.

        Args:
            called_XKV: what the things are called, as in `Shown`.
            named_XK: how much they have been named.
            said: so far.
        """
        just = said.just[:, None] * self.of_part
        agrees = (just @ called_XKV.transpose(1, 2)).clamp(min=_LEAST_FIT).log()
        _, by_colour, by_article = (agrees * just.any(-1, keepdim=True)).unbind(1)
        fresh = (1 - named_XK).clamp(min=_LEAST_FIT).log()
        by_colour, fresh = _SAID_STRENGTH * by_colour, _SAID_STRENGTH * fresh
        return torch.stack([by_colour, by_article + fresh, fresh], 1)

    def _sure(self, called_XKV: Tensor) -> Tensor:
        """Whether things are surely called what they are called, as objects are, bool (X, K)."""
        shares = (called_XKV[:, :, None] * self.of_part).amax(-1)
        shape, colour, _ = shares.unbind(-1)
        return shape * colour > _SURE

    def _ends(self, hidden_XW: Tensor, named_XK: Tensor, objects_XK: Tensor) -> Tensor:
        """What the end of an answer gains, or loses while an object is left to name, (X, 1)."""
        left = ((1 - named_XK) * objects_XK).amax(-1, keepdim=True)
        strength = _ENDS_STRENGTH * self.ends(hidden_XW)
        return strength * (1 - 2 * left) * objects_XK.any(-1, keepdim=True)


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
