"""The trained audio codec, by its shipped name or from a folder."""

from __future__ import annotations

import os

import torch

from multimodal.audio.codec import AudioCodec
from worldmodel.checkpoint import resolve, verify

__all__ = ["load_codec"]


def load_codec(name_or_dir: str | os.PathLike[str] = "codec") -> AudioCodec:
    """Open a codec in evaluation mode, in float32 whatever it is stored in.

    Args:
        name_or_dir: a shipped name, or the folder `worldmodel train objective=codec` wrote.

    Returns:
        The codec on the CPU.

    Raises:
        CheckpointError: missing, torn, altered, or not a codec.
    """
    folder = resolve(name_or_dir)
    verify(folder, "codec")
    codec = AudioCodec.from_pretrained(folder, torch_dtype=torch.float32, use_safetensors=True)
    assert isinstance(codec, AudioCodec)
    return codec.eval().requires_grad_(False)
