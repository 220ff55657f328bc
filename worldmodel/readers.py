"""CLIP and the vision-language model with the trunk they share, by name or from a folder."""

from __future__ import annotations

import os
from pathlib import Path

from multimodal.clip import SharedClip
from multimodal.eyes import Eyes, open_eyes
from multimodal.native import NativeReader
from multimodal.tokenizer import VideoTokenizer
from multimodal.trunk import open_trunk
from multimodal.vlm.shared import SharedVlm
from worldmodel.checkpoint import resolve, verify

__all__ = ["load_clip", "load_native", "load_vlm", "named_eyes", "trunk_folder"]

CLIP_KINDS = ("clip",)
VLM_KINDS = ("vlm", "preference", "instruct", "projector")
_TRUNK = "push"


def trunk_folder(name_or_dir: str | os.PathLike[str]) -> Path:
    """The folder of the tokeniser that a shipped model's name or a folder stands for.

    Raises:
        CheckpointError: there is no such model or folder.
    """
    folder = resolve(name_or_dir)
    return folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder


def named_eyes(name_or_dir: str | os.PathLike[str]) -> Eyes:
    """The eyes of a world model: its tokeniser, and its reader of layers where it has one.

    Raises:
        CheckpointError: there is no such model or folder.
    """
    reader = resolve(name_or_dir) / "layer_reader"
    return open_eyes(trunk_folder(name_or_dir), reader if reader.is_dir() else None)


def load_clip(
    name_or_dir: str | os.PathLike[str] = "clip", trunk: str | os.PathLike[str] = _TRUNK
) -> SharedClip:
    """Open CLIP.

    Args:
        name_or_dir: a shipped name, or the folder `worldmodel train objective=clip` wrote.
        trunk: whose eyes it sees through: a shipped world model, or the folder of a pipeline or of
            a tokeniser.

    Returns:
        The model on the CPU, in float32 whatever it is stored in.

    Raises:
        CheckpointError: missing, torn, altered, no CLIP, or trained with other eyes.
    """
    folder = resolve(name_or_dir)
    _require_kind(folder, CLIP_KINDS)
    return SharedClip.from_pretrained(folder, named_eyes(trunk))


def load_vlm(
    name_or_dir: str | os.PathLike[str] = "vlm", trunk: str | os.PathLike[str] = _TRUNK
) -> SharedVlm:
    """Open the vision-language model of any stage that has a projector; arguments as `load_clip`.

    Raises:
        CheckpointError: missing, torn, altered, no such model, or trained with other eyes.
    """
    folder = resolve(name_or_dir)
    _require_kind(folder, VLM_KINDS)
    return SharedVlm.from_pretrained(folder, named_eyes(trunk))


def load_native(
    name_or_dir: str | os.PathLike[str] = "native", trunk: str | os.PathLike[str] = _TRUNK
) -> NativeReader:
    """Open the native model; arguments as `load_clip`.

    Raises:
        CheckpointError: missing, torn, altered, no native model, or trained on another trunk.
    """
    folder = resolve(name_or_dir)
    _require_kind(folder, ("native",))
    return NativeReader.from_pretrained(folder, _trunk(trunk))


def _trunk(name_or_dir: str | os.PathLike[str]) -> VideoTokenizer:
    return open_trunk(trunk_folder(name_or_dir))


def _require_kind(folder: Path, kinds: tuple[str, ...]) -> None:
    manifest = verify(folder)
    if manifest["kind"] not in kinds:
        # Says what is there and what was expected.
        verify(folder, kinds[0])
