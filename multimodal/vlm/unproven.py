"""What training must not conclude of an answer from the combinations that it never shows.

No red thing of the training set is a cross. A model that is asked to say "ball" rather than "cross"
of red balls learns that red things are never crosses, and says so of the first red cross. So where
an answer tells a shape after a colour, or a colour after a shape, the words that would make a
held-out combination take no part in what the language model itself chooses among.

The same goes for things. Who is asked for the cross and has to prefer it to a red cube learns that
what is red is no cross; so a red cube takes no part in the choice of the thing that is meant.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from multimodal.language import COLOURS, HELD_OUT_COMBINATIONS, SHAPES, Question, Scene
from multimodal.language.held_out import HELD_OUT
from multimodal.vlm.projector import FrameTokens
from multimodal.vlm.words import whole_words

__all__ = ["MOST_BARRED", "Unproven", "unproven_places", "unproven_things"]

MOST_BARRED = 2
"""Most words that are barred at a place: colours that a shape is held out in."""


class Unproven:
    """Token ids that take no part in the choice of an answer's tokens.

    Args:
        tokenizer: of texts; words that it cuts in pieces are not barred.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._ids = whole_words(tokenizer, (*COLOURS, *SHAPES))
        self._words = {number: word for word, number in self._ids.items()}

    def of(
        self,
        answer: Sequence[int],
        question: Question | None = None,
        scene: Scene | None = None,
    ) -> tuple[tuple[int, ...], ...]:
        """For each token of an answer the ids that are barred there.

        Args:
            answer: its token ids.
            question: what is answered; None for a description or any other sentence.
            scene: what the question is about.
        """
        words = [self._words.get(each, "") for each in answer]
        barred = [
            self._numbers(_never(before) if word in SHAPES and before in COLOURS else ())
            for before, word in zip(["", *words], words, strict=False)
        ]
        if question is not None and scene is not None and barred:
            barred[0] = barred[0] or self._numbers(_alone(question, scene))
        return tuple(barred)

    def _numbers(self, words: Sequence[str]) -> tuple[int, ...]:
        return tuple(self._ids[word] for word in words if word in self._ids)[:MOST_BARRED]


def unproven_things(named_XK2: Tensor, meant_X: Tensor) -> Tensor:
    """Which things take no part in the choice of the one that is meant, bool (X, K).

    Those whose colour is held out with its shape, or whose shape is with its colour.

    Args:
        named_XK2: shape and colour of each thing, negative where it has none.
        meant_X: the slot of the thing that is meant.
    """
    held_out = torch.from_numpy(HELD_OUT).to(named_XK2.device)
    meant = named_XK2.gather(1, meant_X[:, None, None].expand(-1, 1, 2))
    known = (named_XK2 >= 0).all(-1) & (meant >= 0).all(-1)
    shapes, colours = named_XK2.clamp(min=0).unbind(-1)
    shape, colour = meant.clamp(min=0).unbind(-1)
    others = torch.arange(named_XK2.shape[1], device=meant_X.device) != meant_X[:, None]
    return known & others & (held_out[colours, shape] | held_out[colour, shapes])


def unproven_places(
    looks_BL: Tensor, named_FK2: Tensor, first_B: Tensor, frame: FrameTokens
) -> Tensor:
    """For each token that is to look at a thing the places that take no part, bool (X, L).

    Args:
        looks_BL: the place that each token is to look at, negative where it is not known; X are.
        named_FK2: shape and colour of each thing of the frames of all rows.
        first_B: the number of each row's first frame.
        frame: the tokens of a frame, which begin at the second place of a row.
    """
    rows, places = torch.where(looks_BL >= 0)
    number = looks_BL[rows, places] - 1
    begin = number - number % frame.count
    slot = number - begin - frame.first_thing
    barred = torch.zeros(len(rows), looks_BL.shape[1], dtype=torch.bool, device=looks_BL.device)
    if not frame.things:
        return barred
    named = named_FK2[first_B[rows] + number // frame.count]
    things = unproven_things(named, slot.clamp(0, frame.things - 1))
    things &= ((slot >= 0) & (slot < frame.things))[:, None]
    slots = 1 + begin[:, None] + frame.first_thing
    return barred.scatter(1, slots + torch.arange(frame.things, device=slots.device), things)


def _never(word: str) -> list[str]:
    """The shapes that a colour is held out with, or the colours that a shape is."""
    pairs = [*HELD_OUT_COMBINATIONS, *((shape, colour) for colour, shape in HELD_OUT_COMBINATIONS)]
    return sorted(other for first, other in pairs if first == word)


def _alone(question: Question, scene: Scene) -> list[str]:
    """The words barred from an answer that is a shape or a colour alone."""
    if question.kind == "colour":
        thing = scene.find(question.answer)
        return _never(thing.shape) if thing is not None else []
    if question.kind != "shape":
        return []
    named = [colour for colour in COLOURS if colour in question.text]
    things = [thing for thing in scene.objects if thing.shape == question.answer]
    colours = [thing.colour for thing in things if not named or thing.colour in named]
    return sorted({each for colour in colours for each in _never(colour)} - {question.answer})
