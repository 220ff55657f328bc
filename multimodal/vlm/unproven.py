"""What training must not conclude of an answer from the combinations that it never shows.

No red thing of the training set is a cross. A model that is asked to say "ball" rather than "cross"
of red balls learns that red things are never crosses, and says so of the first red cross. So where
an answer tells a shape after a colour, or a colour after a shape, the words that would make a
held-out combination take no part in the choice.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from multimodal.language import COLOURS, HELD_OUT_COMBINATIONS, SHAPES, Question, Scene
from multimodal.text_tokenizer import encode_text

__all__ = ["MOST_BARRED", "Unproven"]

MOST_BARRED = 2
"""Most words that are barred at a place: colours that a shape is held out in."""


class Unproven:
    """Token ids that take no part in the choice of an answer's tokens.

    Args:
        tokenizer: of texts; words that it cuts in pieces are not barred.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        ids = {word: encode_text(tokenizer, f" {word}") for word in (*COLOURS, *SHAPES)}
        self._ids = {word: pieces[0] for word, pieces in ids.items() if len(pieces) == 1}
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
