"""Any CLIP or SigLIP of the Hugging Face hub as an `ImageTextModel`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModel, AutoProcessor

from multimodal.errors import CheckpointError, TextError
from multimodal.hub import open_hub, pillow_images

__all__ = ["HubClip", "open_clip"]


@dataclass(frozen=True)
class HubClip:
    """A two-tower model of transformers and its processor.

    Attributes:
        model: with `get_image_features` and `get_text_features`.
        processor: of its pictures and texts.
    """

    model: Any
    processor: Any

    @torch.no_grad()
    def encode_image(self, frames: Tensor | NDArray[Any]) -> Tensor:
        """Unit vectors float32 (B, E) of uint8 frames (B, H, W, 3) of any size.

        Raises:
            FrameError: malformed frames.
        """
        inputs = self.processor(images=pillow_images(frames), return_tensors="pt")
        return _unit(self.model.get_image_features(pixel_values=inputs["pixel_values"]))

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors float32 (len(texts), E) of texts; what is too long is cut off.

        Raises:
            TextError: no text, or an empty one.
        """
        if isinstance(texts, str) or not len(texts) or not all(text.strip() for text in texts):
            raise TextError("expected a list of texts that say something, one or more.")
        # SigLIP was trained on texts padded to full length, and reads others worse.
        padding = "max_length" if "siglip" in self.model.config.model_type else True
        inputs = self.processor(
            text=list(texts), padding=padding, truncation=True, return_tensors="pt"
        )
        return _unit(self.model.get_text_features(**inputs))


def open_clip(name_or_dir: Path | str) -> HubClip:
    """Load a two-tower model from a folder or by its name on the hub.

    Raises:
        CheckpointError: no such model, or one without two towers.
    """
    model = open_hub(AutoModel, name_or_dir, "CLIP or SigLIP", use_safetensors=True)
    if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
        raise CheckpointError(
            f"{name_or_dir} is a {model.config.model_type}, which has no towers of pictures and "
            "texts; name a CLIP or SigLIP."
        )
    return HubClip(model.eval(), open_hub(AutoProcessor, name_or_dir, "processor"))


def _unit(output: Any) -> Tensor:
    vectors = output if isinstance(output, Tensor) else output.pooler_output
    return F.normalize(vectors.float(), dim=-1)
