"""Models of the Hugging Face hub by name, or the same from a folder; nothing else is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from multimodal.errors import CheckpointError, FrameError

__all__ = ["open_hub", "pillow_images"]

_LARGEST_PX = 8192


def open_hub(auto: Any, name_or_dir: Path | str, what: str, **options: Any) -> Any:
    """`auto.from_pretrained` with an error that says what to do.

    Args:
        auto: an Auto class of transformers.
        name_or_dir: a folder written by `save_pretrained`, or a name on the hub.
        what: what is being loaded, for the message.
        options: further arguments.

    Raises:
        CheckpointError: the folder holds no such thing, or the name cannot be fetched.
    """
    is_folder = Path(name_or_dir).is_dir()
    try:
        return auto.from_pretrained(str(name_or_dir), local_files_only=is_folder, **options)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        if is_folder:
            raise CheckpointError(
                f"{name_or_dir} holds no {what} that loads ({reason}); expected a folder written "
                "by save_pretrained, with config.json and model.safetensors."
            ) from error
        raise CheckpointError(
            f"there is no folder {str(name_or_dir)!r}, and no {what} of that name could be "
            f"fetched from the hub ({reason}). Without a network, run `hf download {name_or_dir} "
            "--local-dir DIR` where there is one and pass DIR."
        ) from error


def pillow_images(frames: Tensor | NDArray[Any]) -> list[Image.Image]:
    """Frames of any size, as processors of the hub take them.

    Args:
        frames: uint8 (B, H, W, 3).

    Raises:
        FrameError: another rank, channel order, dtype or an endless size.
    """
    tensor = torch.as_tensor(frames)
    shape = tuple(tensor.shape)
    if tensor.ndim != 4 or shape[-1] != 3 or not len(tensor) or tensor.dtype != torch.uint8:
        raise FrameError(
            f"Expected uint8 frames (B, H, W, 3), one or more, got {tensor.dtype} {shape}."
        )
    if min(shape[1:3]) < 2 or max(shape[1:3]) > _LARGEST_PX:
        raise FrameError(
            f"Frames have {shape[1]}x{shape[2]} px; expected 2 to {_LARGEST_PX} a side."
        )
    return [Image.fromarray(frame.numpy()) for frame in tensor.cpu()]
