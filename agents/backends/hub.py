"""Any image-text-to-text model of transformers as a reasoner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel
from torch import Tensor

from agents.backends.filling import filled
from agents.backends.messages import Message, checked_choices
from multimodal.vlm.hub import HubVlm, open_vlm

__all__ = ["HubReasoner"]

T = TypeVar("T", bound=BaseModel)


class HubReasoner:
    """Scores replies token by token, so that whatever model it is, its replies parse.

    Args:
        model: a folder written by `save_pretrained`, a name on the hub, or an opened model.

    Raises:
        CheckpointError: no such model.
    """

    def __init__(self, model: str | Path | HubVlm) -> None:
        self.vlm = model if isinstance(model, HubVlm) else open_vlm(model)

    def generate(self, messages: Sequence[Message], schema: type[T]) -> T:
        """The likeliest way to fill in the schema; see `Reasoner.generate`."""
        text = filled(
            schema.model_json_schema(),
            lambda so_far, options: self._logs(messages, so_far, options),
        )
        return schema.model_validate_json(text)

    def score(self, messages: Sequence[Message], choices: Sequence[str]) -> NDArray[Any]:
        """Normalised over the choices; see `Reasoner.score`."""
        logs = self._logs(messages, "", checked_choices(choices))
        normal: NDArray[Any] = logs - np.logaddexp.reduce(logs)
        return normal

    @torch.no_grad()
    def _logs(
        self, messages: Sequence[Message], so_far: str, options: Sequence[str]
    ) -> NDArray[Any]:
        prompt = self._prompt(messages) + so_far
        pictures = [Image.fromarray(p) for message in messages for p in message.pictures]
        rows = [self._ids(prompt + option, pictures) for option in options]
        # Where the last words of the prompt and a reply become one token, that token is part of the
        # reply, and of every other reply: all are scored from the same place on.
        alone = self._ids(prompt, pictures)["input_ids"][0]
        start = min(_common(alone, inputs["input_ids"][0]) for inputs in rows)
        logs = []
        for inputs in rows:
            ids = inputs["input_ids"][0]
            logits = self.vlm.model(**inputs).logits[0].float().log_softmax(-1)
            each = logits[start - 1 : -1].gather(1, ids[start:, None])
            logs.append(float(each.sum()))
        return np.array(logs)

    def _ids(self, text: str, pictures: Sequence[Image.Image]) -> Any:
        extra = {"images": list(pictures)} if pictures else {}
        return self.vlm.processor(text=text, return_tensors="pt", **extra)

    def _prompt(self, messages: Sequence[Message]) -> str:
        """The conversation in the model's own form, with a place for each picture."""
        processor = self.vlm.processor
        if getattr(processor, "chat_template", None):
            turns = [
                {
                    "role": message.role,
                    "content": [{"type": "image"}] * len(message.pictures)
                    + [{"type": "text", "text": message.text}],
                }
                for message in messages
            ]
            prompt: str = processor.apply_chat_template(turns, add_generation_prompt=True)
            return prompt
        mark = str(getattr(processor, "image_token", "<image>"))
        said = [f"{message.role.upper()}: {mark * len(message.pictures)}\n{message.text}"
                for message in messages]  # fmt: skip
        return "\n".join([*said, "ASSISTANT: "])


def _common(one: Tensor, other: Tensor) -> int:
    """How many ids two sequences begin with alike."""
    length = min(len(one), len(other))
    different = (one[:length] != other[:length]).nonzero()
    return int(different[0]) if len(different) else length
