"""Answers to questions about frames, from the model on the shared trunk.

`VisualAnswerer` is what the rest of the project asks of any such model; `SharedVlm` is ours,
`multimodal.vlm.hub.HubVlm` is any of the Hugging Face hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from multimodal.errors import TextError
from multimodal.eyes import Eyes
from multimodal.text_tokenizer import decode_ids, load_text_tokenizer
from multimodal.vlm.generate import generate
from multimodal.vlm.model import VlmModel, answer_log_probability
from multimodal.vlm.turns import assemble, collate_rows, turn_of

__all__ = ["LONGEST_QUESTION", "SharedVlm", "VisualAnswerer", "checked_question"]

TEXT_FOLDER = "text"
LONGEST_QUESTION = 2000
"""Characters; the language of the world needs a twentieth of it."""
_MOST_FRAMES = 8


class VisualAnswerer(Protocol):
    """Whatever answers questions about frames."""

    def answer(
        self,
        frames: Tensor | NDArray[Any],
        question: str,
        choices: Sequence[str] | None = None,
    ) -> str:
        """The answer to a question about frames (T, H, W, 3), oldest first."""


def checked_question(question: str, choices: Sequence[str] | None) -> None:
    """Refuse what cannot be asked.

    Raises:
        TextError: an empty or endless question, or choices of which none or the same are given.
    """
    if not isinstance(question, str) or not question.strip():
        raise TextError("the question is empty; ask something of the picture.")
    if len(question) > LONGEST_QUESTION:
        raise TextError(
            f"the question has {len(question):,} characters, the most is {LONGEST_QUESTION:,}; "
            "shorten it."
        )
    if choices is None:
        return
    if isinstance(choices, str) or not len(choices) or len(set(choices)) != len(choices):
        raise TextError(
            f"choices are {choices!r}; give a list of different answers, one or more, or None."
        )
    if any(not isinstance(each, str) or not each.strip() for each in choices):
        raise TextError(
            f"choices are {list(choices)!r}; each has to be a text that says something."
        )


@dataclass(frozen=True)
class SharedVlm:
    """Our vision-language model with what it reads through.

    Attributes:
        model: tower, projector and language model.
        eyes: the world model's, that it sees through.
        tokenizer: of texts.
    """

    model: VlmModel
    eyes: Eyes
    tokenizer: PreTrainedTokenizerBase

    def __post_init__(self) -> None:
        config = self.model.config
        self.eyes.require(config.trunk, config.reader, "this vision-language model")

    @classmethod
    def from_pretrained(cls, folder: Path | str, eyes: Eyes) -> SharedVlm:
        """Load what `save_pretrained` wrote.

        Raises:
            CheckpointError: other eyes than it was trained with, or no tokeniser of texts.
        """
        model = VlmModel.from_pretrained(folder).eval()
        return cls(model, eyes, load_text_tokenizer(Path(folder) / TEXT_FOLDER))

    def save_pretrained(self, folder: Path | str) -> None:
        """Write model and text tokeniser; the eyes are named by fingerprints, not copied."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(Path(folder) / TEXT_FOLDER)

    def answer(
        self,
        frames: Tensor | NDArray[Any],
        question: str,
        choices: Sequence[str] | None = None,
    ) -> str:
        """The answer to a question about frames.

        Args:
            frames: uint8 or float in [0, 1], (T, H, W, 3) oldest first, or one frame (H, W, 3).
            question: in words.
            choices: answers to choose from; None lets the model say what it likes.

        Returns:
            The answer; one of `choices` where there are any.

        Raises:
            FrameError: malformed frames, or frames of another size than it was trained at.
            TextError: a question or choices that cannot be asked.
        """
        checked_question(question, choices)
        clip = torch.as_tensor(frames)
        clip = clip[None] if clip.ndim == 3 else clip
        if choices is not None:
            return self.choose([clip], [question], [choices])[0]
        return self.answers([clip], [question])[0]

    def look(self, frames: Tensor | NDArray[Any]) -> Tensor:
        """Frames (T, H, W, 3) as the model reads them, float32 (T, P)."""
        if len(frames) > _MOST_FRAMES:
            raise TextError(
                f"a question is about {_MOST_FRAMES} frames at most, got {len(frames)}; pass "
                "fewer, such as the first and the last."
            )
        return self.eyes.look(frames, self.model.config.size_px, self.model.layout)

    def answers(
        self, clips: Sequence[Tensor | NDArray[Any]], questions: Sequence[str]
    ) -> list[str]:
        """Answers to questions, each about its own clip; frames as in `answer`, (T, H, W, 3)."""
        return self.answers_to([self.look(clip) for clip in clips], questions)

    def answers_to(
        self, glances: Sequence[Tensor], questions: Sequence[str], tokens: int = 40
    ) -> list[str]:
        """Answers to questions about clips that were looked at already.

        Args:
            glances: float (T, P) of each question's frames; T may be 0: no picture at all.
            questions: as many.
            tokens: most tokens of an answer.
        """
        answers = [""] * len(questions)
        rows = [
            self._row(seen, question) for seen, question in zip(glances, questions, strict=True)
        ]
        lengths = [len(row["ids"]) for row in rows]
        # Rows of one length need no padding, which would shift what the model sees.
        for length in sorted(set(lengths)):
            chosen = [k for k, each in enumerate(lengths) if each == length]
            ids = torch.from_numpy(np.stack([rows[k]["ids"] for k in chosen]))
            seen = torch.cat([glances[k] for k in chosen])
            for k, said in zip(chosen, generate(self.model, ids, seen, tokens), strict=True):
                answers[k] = decode_ids(self.tokenizer, said).strip()
        return answers

    @torch.no_grad()
    def choose(
        self,
        clips: Sequence[Tensor | NDArray[Any]],
        questions: Sequence[str],
        choices: Sequence[Sequence[str]],
    ) -> list[str]:
        """For each question the most probable of its choices."""
        chosen = []
        for clip, question, among in zip(clips, questions, choices, strict=True):
            seen = self.look(clip)
            rows = [self._row(seen, question, answer) for answer in among]
            batch = collate_rows([row | {"glances": seen.numpy()} for row in rows])
            chosen.append(among[int(answer_log_probability(self.model, batch).argmax())])
        return chosen

    def _row(self, seen: Tensor, question: str, answer: str | None = None) -> dict[str, Any]:
        marks, frames = self.model.marks, len(seen)
        turn = turn_of(self.tokenizer, question, answer, frames, marks.eos)
        return assemble([turn], frames, self.model.frame_tokens, marks)
