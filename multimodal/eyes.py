"""The eyes that CLIP and the vision-language model share with the world model.

Its tokeniser says what is where, patch by patch; its reader of layers says what can be moved, thing
by thing. The weights of both stay as the world model has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.errors import CheckpointError
from multimodal.glance import GlanceLayout
from multimodal.layers import LayerReader
from multimodal.things import things_of
from multimodal.tokenizer import VideoTokenizer, frames_tensor, to_uint8
from multimodal.trunk import (
    BATCH,
    latents_of,
    open_trunk,
    require_trunk,
    trunk_fingerprint,
    weights_fingerprint,
)

__all__ = ["Eyes", "open_eyes", "open_reader"]


@dataclass(frozen=True)
class Eyes:
    """A tokeniser, and a reader of layers where the world has bodies that can be told apart.

    Attributes:
        trunk: the world model's tokeniser.
        reader: its reader of layers; None where it has none.
    """

    trunk: VideoTokenizer
    reader: LayerReader | None = None

    @property
    def slots(self) -> int:
        """The most things that are told apart."""
        return 0 if self.reader is None else int(self.reader.config["slots"])

    @property
    def names(self) -> dict[str, str]:
        """Fingerprints of the weights, by the names that models know them under."""
        reader = "" if self.reader is None else weights_fingerprint(self.reader)
        return {"trunk": trunk_fingerprint(self.trunk), "reader": reader}

    def require(self, trunk: str, reader: str, model: str) -> None:
        """Refuse eyes that a model was not trained with.

        Args:
            trunk: fingerprint of the encoder that it was trained on.
            reader: of the reader of layers; empty where it reads none.
            model: the model, for the message.

        Raises:
            CheckpointError: they are not the same.
        """
        require_trunk(self.trunk, trunk, model)
        found = self.names["reader"]
        if reader and found != reader:
            has = f"this one is {found}" if found else "there is none here"
            raise CheckpointError(
                f"{model} reads the things that the reader of layers {reader} cuts out, {has}. "
                "Name the world model it was trained with, or train it anew with this one."
            )

    def look(self, frames: Tensor | NDArray[Any], size_px: int, layout: GlanceLayout) -> Tensor:
        """Frames as rows of numbers.

        Args:
            frames: uint8 or float in [0, 1], (B, H, W, 3).
            size_px: the side the frames must have.
            layout: of the rows.

        Returns:
            float32 (B, P).

        Raises:
            FrameError: malformed frames, or frames of another size.
        """
        latents = latents_of(self.trunk, frames, size_px)
        pictures = frames_tensor(frames, size_px)
        if pictures.dtype != torch.uint8:
            pictures = to_uint8(pictures)
        things = None
        if layout.slots and self.reader is not None:
            things = torch.cat([things_of(self.reader, part) for part in pictures.split(BATCH)])
        return layout.row(latents, things, pictures)


def open_eyes(trunk: Path | str, reader: Path | str | None = None) -> Eyes:
    """Load a tokeniser, and a reader of layers, to be read from only.

    Raises:
        CheckpointError: a folder holds no such model.
    """
    if reader is None:
        return Eyes(open_trunk(trunk))
    return Eyes(open_trunk(trunk), open_reader(reader))


def open_reader(folder: Path | str) -> LayerReader:
    """Load a reader of layers, to be read from only.

    Raises:
        CheckpointError: the folder holds no such model.
    """
    if not (Path(folder) / "config.json").is_file():
        raise CheckpointError(
            f"{folder} holds no reader of layers (no config.json); name a world model that has "
            "layers, such as push, or the `layer_reader` folder of its checkpoint."
        )
    reader = LayerReader.from_pretrained(folder, use_safetensors=True)
    assert isinstance(reader, LayerReader)
    return reader.eval().requires_grad_(False)
