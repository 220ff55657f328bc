"""The shared trunk: the world model's tokeniser, as CLIP and the vision-language model read it.

Its weights stay as they are, so that all of them read the same tokens; a model that was trained on
the tokens of one encoder is refused with another.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from multimodal.errors import CheckpointError, FrameError
from multimodal.tokenizer import VideoTokenizer, frames_tensor

__all__ = [
    "BATCH",
    "latents_of",
    "open_trunk",
    "require_trunk",
    "trunk_fingerprint",
    "weights_fingerprint",
]

BATCH = 64


def trunk_fingerprint(trunk: VideoTokenizer) -> str:
    """Name the encoder's weights; the decoder may go on learning."""
    return weights_fingerprint(trunk.encoder)


def weights_fingerprint(model: nn.Module) -> str:
    """Name the weights of a network that another one depends on."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def open_trunk(folder: Path | str) -> VideoTokenizer:
    """Load a tokeniser to be read from only.

    Raises:
        CheckpointError: the folder holds no tokeniser.
    """
    if not (Path(folder) / "config.json").is_file():
        raise CheckpointError(
            f"{folder} holds no tokeniser (no config.json); name the folder of one, such as the "
            "`tokenizer` below a world model's checkpoint."
        )
    trunk = VideoTokenizer.from_pretrained(folder, use_safetensors=True)
    assert isinstance(trunk, VideoTokenizer)
    return trunk.eval().requires_grad_(False)


def require_trunk(trunk: VideoTokenizer, fingerprint: str, reader: str) -> None:
    """Refuse a trunk that a model was not trained on.

    Args:
        trunk: the tokeniser at hand.
        fingerprint: of the tokeniser that the model was trained on.
        reader: the model, for the message.

    Raises:
        CheckpointError: they are not the same.
    """
    found = trunk_fingerprint(trunk)
    if found != fingerprint:
        raise CheckpointError(
            f"{reader} reads the tokens of the encoder {fingerprint}, this tokeniser's encoder is "
            f"{found}: its tokens mean something else. Use the tokeniser it was trained on, or "
            "train it anew on this one."
        )


@torch.no_grad()
def latents_of(trunk: VideoTokenizer, frames: Tensor | NDArray[Any], size_px: int) -> Tensor:
    """Frames through the trunk, in portions; a still is a clip of one frame.

    Args:
        trunk: the tokeniser.
        frames: uint8 or float in [0, 1], (B, H, W, 3).
        size_px: the side the frames must have.

    Returns:
        float32 (B, N, C).

    Raises:
        FrameError: malformed frames, or frames of another size.
    """
    tensor = frames_tensor(frames, size_px)
    if tensor.ndim != 4:
        raise FrameError(
            f"Expected frames (B, H, W, 3), got {tuple(tensor.shape)}; a single frame is "
            "frames[None]."
        )
    if not len(tensor):
        raise FrameError("Expected one frame or more, got none.")
    parts = [trunk.encode(part[:, None])[:, 0].float() for part in tensor.split(BATCH)]
    return torch.cat(parts)
