"""The project's own vision-language model as a reasoner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from agents.backends.filling import filled
from agents.backends.messages import Message, checked_choices
from agents.seeing import fitted
from multimodal.vlm.model import answer_log_probability
from multimodal.vlm.shared import LONGEST_QUESTION, SharedVlm, checked_question
from multimodal.vlm.turns import assemble, collate_rows, turn_of
from worldmodel.readers import load_vlm

__all__ = ["OwnReasoner"]

T = TypeVar("T", bound=BaseModel)


class OwnReasoner:
    """Scores replies with the shipped model, or one that was trained here.

    It was taught to answer questions about the table in a word or two, so `score` is what it is
    good for; what `generate` writes fits the schema and may well be wrong.

    Args:
        name_or_dir: a shipped name, or the folder of a vision-language model.

    Raises:
        CheckpointError: missing, altered, or another kind of model.
    """

    def __init__(self, name_or_dir: str | Path = "vlm") -> None:
        self.vlm: SharedVlm = load_vlm(name_or_dir)

    def generate(self, messages: Sequence[Message], schema: type[T]) -> T:
        """The likeliest way to fill in the schema; see `Reasoner.generate`."""
        text = filled(
            schema.model_json_schema(),
            lambda so_far, options: self._logs(messages, [so_far + each for each in options]),
        )
        return schema.model_validate_json(text)

    def score(self, messages: Sequence[Message], choices: Sequence[str]) -> NDArray[Any]:
        """Normalised over the choices; see `Reasoner.score`."""
        logs = self._logs(messages, checked_choices(choices))
        normal: NDArray[Any] = logs - np.logaddexp.reduce(logs)
        return normal

    @torch.no_grad()
    def _logs(self, messages: Sequence[Message], replies: Sequence[str]) -> NDArray[Any]:
        question = " ".join(message.text for message in messages if message.role == "user")
        question = question[-LONGEST_QUESTION:]
        checked_question(question, replies)
        side = int(self.vlm.model.config.size_px)
        pictures = [fitted(p, (side, side)) for message in messages for p in message.pictures]
        glances = self.vlm.look(np.stack(pictures or [np.zeros((side, side, 3), np.uint8)]))
        model, frames = self.vlm.model, len(glances)
        rows = []
        for reply in replies:
            turn = turn_of(self.vlm.tokenizer, question, reply, frames, model.marks.eos)
            row = assemble([turn], frames, model.frame_tokens, model.marks)
            rows.append(row | {"glances": glances.numpy()})
        return answer_log_probability(model, collate_rows(rows)).double().numpy()
