"""Any vision-language model of the Hugging Face hub behind the interface of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from multimodal.hub import open_hub, pillow_images
from multimodal.vlm.shared import checked_question

__all__ = ["HubVlm", "open_vlm"]

_TOKENS = 40


@dataclass(frozen=True)
class HubVlm:
    """An image-text-to-text model of transformers and its processor.

    Attributes:
        model: what generates.
        processor: of its pictures and texts.
    """

    model: Any
    processor: Any

    @torch.no_grad()
    def answer(
        self,
        frames: Tensor | NDArray[Any],
        question: str,
        choices: Sequence[str] | None = None,
    ) -> str:
        """The answer to a question about frames; arguments as in `SharedVlm.answer`.

        With choices the model is asked to use one of them, and the one that its answer begins
        with, or else names, is returned; the first where it names none.

        Raises:
            FrameError: malformed frames.
            TextError: a question or choices that cannot be asked.
        """
        checked_question(question, choices)
        clip = torch.as_tensor(frames)
        images = pillow_images(clip[None] if clip.ndim == 3 else clip)
        text = question
        if choices is not None:
            text = f"{question} Answer with one of: {', '.join(choices)}."
        inputs = self.processor(
            images=images, text=self._prompt(text, len(images)), return_tensors="pt"
        )
        length = inputs["input_ids"].shape[1]
        ids = self.model.generate(**inputs, max_new_tokens=_TOKENS, do_sample=False)
        said = self.processor.batch_decode(ids[:, length:], skip_special_tokens=True)[0].strip()
        return said if choices is None else _named(said, choices)

    def _prompt(self, text: str, images: int) -> str:
        """The question in the model's own form of a conversation, with a place for each frame."""
        if getattr(self.processor, "chat_template", None):
            content = [{"type": "image"}] * images + [{"type": "text", "text": text}]
            turns = [{"role": "user", "content": content}]
            prompt: str = self.processor.apply_chat_template(turns, add_generation_prompt=True)
            return prompt
        mark = getattr(self.processor, "image_token", "<image>")
        return f"USER: {str(mark) * images}\n{text} ASSISTANT:"


def open_vlm(name_or_dir: Path | str) -> HubVlm:
    """Load a vision-language model from a folder or by its name on the hub.

    Raises:
        CheckpointError: no such model.
    """
    model = open_hub(
        AutoModelForImageTextToText, name_or_dir, "vision-language model", use_safetensors=True
    )
    return HubVlm(model.eval(), open_hub(AutoProcessor, name_or_dir, "processor"))


def _named(said: str, choices: Sequence[str]) -> str:
    lowered = said.lower()
    begins = [each for each in choices if lowered.startswith(each.lower())]
    named = [each for each in choices if each.lower() in lowered]
    return max(begins, key=len) if begins else named[0] if named else choices[0]
