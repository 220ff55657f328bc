"""Frames that the native model draws from a text, judged by CLIP, which learned from real ones."""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig

from multimodal.clip import SharedClip
from multimodal.errors import CheckpointError
from multimodal.language import COLOURS, HELD_OUT_COMBINATIONS, SHAPES
from multimodal.language.question import article
from multimodal.native import NativeReader
from worldmodel.evaluation.clip import COMBINATIONS, classify
from worldmodel.evaluation.native_cases import scenes_of
from worldmodel.evaluation.picture_page import Example
from worldmodel.evaluation.vlm_cases import open_flat
from worldmodel.readers import load_clip

__all__ = ["drawing_figures"]

_TEMPLATES = range(4)
_EACH = 3

_log = logging.getLogger(__name__)


def drawing_figures(
    native: NativeReader, cfg: DictConfig
) -> tuple[dict[str, NDArray[np.float64]], list[Example]]:
    """Draw every colour and shape a few times and ask CLIP what it sees.

    Args:
        native: the model.
        cfg: of the verb `evaluate`; CLIP is the one shipped for the same trunk.

    Returns:
        1 where CLIP sees what was asked for, by name of the figure: drawings as a whole, their
        colour, their shape, those of combinations never trained on, and what CLIP makes of real
        frames with one object; and some drawings to show. Nothing where the trunk is one that the
        shipped CLIP does not read.
    """
    try:
        clip = load_clip("clip", cfg.trunk)
    except CheckpointError as error:
        _log.warning("drawings are not judged: %s", error)
        return {}, []
    asked = [pair for pair in COMBINATIONS for _ in range(_EACH)]
    drawn = native.draw([article(f"{colour} {shape}") for colour, shape in asked], 0.7, seed=0)
    seen = [COMBINATIONS[k] for k in classify(clip, drawn, _TEMPLATES)]
    pairs = list(zip(seen, asked, strict=True))
    new = np.array([pair in HELD_OUT_COMBINATIONS for pair in asked])
    whole = np.array([one == two for one, two in pairs], np.float64)
    figures = {
        "native_drawn": whole[~new],
        "native_drawn_new_combinations": whole[new],
        "native_drawn_colour": np.array([one[0] == two[0] for one, two in pairs], np.float64),
        "native_drawn_shape": np.array([one[1] == two[1] for one, two in pairs], np.float64),
        "native_drawn_real_frames": _real(clip, cfg),
    }
    examples = [
        Example(
            drawn[k][None], f"(drawn) {' '.join(asked[k])}", " ".join(asked[k]), " ".join(seen[k])
        )
        for k in range(0, len(asked), 2 * _EACH)
    ]
    return figures, examples


def _real(clip: SharedClip, cfg: DictConfig) -> NDArray[np.float64]:
    flat = open_flat(cfg.scenes)
    rows = scenes_of(flat, "test", most=1)[:128]
    frames = np.stack([flat.frames[row] for row in rows])
    with torch.no_grad():
        seen = [COMBINATIONS[k] for k in classify(clip, frames, _TEMPLATES)]
    slots = np.asarray(flat.state["object_shape"])[rows]
    first = (slots >= 0).argmax(-1)
    colours = np.asarray(flat.state["object_colour"])[rows, first]
    right = [
        pair == (COLOURS[c], SHAPES[s])
        for pair, c, s in zip(seen, colours, slots[np.arange(len(rows)), first], strict=True)
    ]
    return np.array(right, np.float64)
