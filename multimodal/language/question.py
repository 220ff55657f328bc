"""A question about frames with its one right answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from multimodal.errors import ConfigError

__all__ = ["CLIP_FRAMES", "NO", "YES", "YES_NO", "Question", "article"]

YES: Final = "yes"
NO: Final = "no"
YES_NO: Final = (YES, NO)
CLIP_FRAMES: Final = 4


@dataclass(frozen=True)
class Question:
    """One question, answered from state.

    Attributes:
        kind: what it asks for, one of `multimodal.language.KINDS`.
        text: the question.
        answer: the one right answer, short; lower case but for what a sign reads.
        choices: every well-formed answer, the right one among them; empty where any text is
            well-formed (reading).
        frames: how many frames must be seen: 1, 2 (the first and the last) or 4 in a row.
        template: which paraphrase it is, such as "count.shape/3".

    Raises:
        ConfigError: the answer is not among the choices.
    """

    kind: str
    text: str
    answer: str
    choices: tuple[str, ...]
    frames: int
    template: str

    def __post_init__(self) -> None:
        if not self.answer or (self.choices and self.answer not in self.choices):
            raise ConfigError(
                f"the answer {self.answer!r} of {self.text!r} is not among {self.choices}."
            )


def article(noun: str) -> str:
    """A noun with its indefinite article: "an orange ball"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
