"""What turns frames into what eyes read: an encoder of latents, or a reader of layers."""

from __future__ import annotations

import os

from multimodal.errors import CheckpointError
from multimodal.eyes import open_reader
from multimodal.layers import LayerReader
from multimodal.tokenizer import VideoTokenizer
from multimodal.trunk import open_trunk, trunk_fingerprint, weights_fingerprint
from worldmodel.checkpoint import resolve
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.readers import trunk_folder

__all__ = ["LATENTS", "LAYERS", "Trunk", "TrunkSource", "fingerprint_of", "trunk_for"]

LATENTS, LAYERS = "latents", "layers"
Trunk = VideoTokenizer | LayerReader
TrunkSource = Trunk | WorldModelPipeline | str | os.PathLike[str]


def fingerprint_of(trunk: Trunk) -> str:
    """Name the weights that the eyes depend on."""
    if isinstance(trunk, LayerReader):
        return weights_fingerprint(trunk)
    return trunk_fingerprint(trunk)


def trunk_for(sees: str, source: TrunkSource) -> Trunk:
    """The part of a world model that a policy's eyes need.

    Args:
        sees: "latents" or "layers".
        source: a world model, the part itself, a shipped name, or the folder of any of these.

    Raises:
        CheckpointError: there is no such model, or it has no such part.
    """
    wanted = LayerReader if sees == LAYERS else VideoTokenizer
    if isinstance(source, WorldModelPipeline):
        source = source.layer_reader if sees == LAYERS else source.tokenizer
    if source is None or isinstance(source, VideoTokenizer | LayerReader):
        if not isinstance(source, wanted):
            raise CheckpointError(
                f"This policy sees {sees} and was given "
                f"{'nothing' if source is None else type(source).__name__} that makes them. "
                "Give it the world model that it was trained in."
            )
        return source
    if sees == LATENTS:
        return open_trunk(trunk_folder(source))
    folder = resolve(source)
    if (folder / "layer_reader").is_dir():
        folder = folder / "layer_reader"
    return open_reader(folder)
