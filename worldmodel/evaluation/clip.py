"""`worldmodel evaluate model=clip`: zero-shot classes never seen together, and retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor

from multimodal.clip import ImageTextModel
from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.hub_clip import open_clip
from multimodal.language import (
    COLOURS,
    HELD_OUT_COMBINATIONS,
    PROMPTS,
    SHAPES,
    Scene,
    caption,
    prompt,
)
from worldmodel.checkpoint import shipped_names
from worldmodel.evaluation.picture_page import Example, write_page
from worldmodel.evaluation.vlm_cases import open_flat
from worldmodel.intervals import mean_figure
from worldmodel.readers import load_clip
from worldmodel.runs import RunDirectory

__all__ = ["classify", "evaluate", "prompt_vectors", "recall"]

COMBINATIONS = [(colour, shape) for colour in COLOURS for shape in SHAPES]
_HELD_OUT_PROMPTS = range(len(PROMPTS) - 2, len(PROMPTS))
_BLANK = 127
_SHOWN = 12


def prompt_vectors(clip: ImageTextModel, templates: Sequence[int]) -> Tensor:
    """Unit vectors (24, E) of all combinations, each the mean over prompt templates."""
    each = [clip.encode_text([prompt(*pair, t) for pair in COMBINATIONS]) for t in templates]
    return torch.nn.functional.normalize(torch.stack(each).mean(0), dim=-1)


def classify(
    clip: ImageTextModel, frames: NDArray[np.uint8], templates: Sequence[int]
) -> NDArray[np.int64]:
    """The number of the combination whose prompt agrees best with each frame, int64 (B,)."""
    similar = clip.encode_image(frames) @ prompt_vectors(clip, templates).T
    chosen: NDArray[np.int64] = similar.argmax(-1).numpy()
    return chosen


def recall(similar: NDArray[Any], same: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
    """Whether one of the k best columns of each row is right.

    Args:
        similar: (B, X) similarities.
        same: bool (B, X), the right columns of each row.
        k: how many of the best count.
    """
    best = np.argsort(-similar, axis=1)[:, :k]
    return np.asarray(np.take_along_axis(same, best, 1).any(axis=1))


def evaluate(cfg: DictConfig, directory: RunDirectory) -> dict[str, float]:
    """Measure CLIP on scenes and paraphrases that it never saw.

    Args:
        cfg: of the verb `evaluate`.
        directory: gets `report.json` and `index.html`.

    Returns:
        The figures by name.
    """
    clip = open_model(cfg)
    flat = open_flat(cfg.scenes)
    report: dict[str, Any] = {}
    frames, labels = single_objects(flat, held_out=True, count=cfg.cases)
    chosen = classify(clip, frames, _HELD_OUT_PROMPTS)
    report["clip_zero_shot"] = mean_figure(chosen == labels, cfg.resamples)
    every = classify(clip, frames, range(len(PROMPTS)))
    report["clip_zero_shot_all_prompts"] = mean_figure(every == labels, cfg.resamples)
    seen_frames, seen_labels = single_objects(flat, held_out=False, count=cfg.cases)
    seen = classify(clip, seen_frames, _HELD_OUT_PROMPTS)
    report["clip_zero_shot_seen_combinations"] = mean_figure(seen == seen_labels, cfg.resamples)
    blank = classify(clip, np.full_like(frames, _BLANK), _HELD_OUT_PROMPTS)
    report["clip_zero_shot_blank"] = mean_figure(blank == labels, cfg.resamples)
    report |= _retrieval(clip, flat, cfg)
    directory.write_json(
        "report.json", {"figures": report, "confusion": _confusion(labels, chosen)}
    )
    examples = [
        Example(frames[k][None], "which prompt fits?", _name(labels[k]), _name(chosen[k]))
        for k in _right_and_wrong(chosen == labels)
    ]
    write_page(directory.path, "CLIP on combinations never seen together", report, examples)
    return {name: float(value["value"]) for name, value in report.items()}


def open_model(cfg: DictConfig) -> ImageTextModel:
    """Our CLIP where the checkpoint is a shipped name or a folder of ours, else one of the hub."""
    name = str(cfg.checkpoint or cfg.model)
    folder = Path(name)
    if name in shipped_names() or (folder / "manifest.json").is_file():
        return load_clip(name, cfg.trunk)
    return open_clip(name)


def single_objects(
    flat: FlatEpisodes, held_out: bool, count: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """First frames of episodes with one object, and its combination.

    Args:
        flat: the dataset.
        held_out: objects of combinations that training never shows, from all episodes, none of
            which training uses; otherwise the others, from test episodes.
        count: most frames.

    Raises:
        DatasetError: there is none.
    """
    episodes = np.arange(len(flat.splits)) if held_out else flat.episodes("test")
    starts = flat.starts[episodes]
    shapes = np.asarray(flat.state["object_shape"])[starts]
    rows, labels = [], []
    for row in starts[(shapes >= 0).sum(-1) == 1]:
        ((colour, shape),) = Scene.from_state(flat.state, int(row)).combinations
        if ((colour, shape) in HELD_OUT_COMBINATIONS) == held_out:
            rows.append(int(row))
            labels.append(COMBINATIONS.index((colour, shape)))
    if not rows:
        raise DatasetError(
            f"{flat.path} has no episode with one object to classify; record scenes with "
            "world.options.objects=1."
        )
    return np.array(flat.frames[rows[:count]]), np.array(labels[:count])


def _retrieval(clip: ImageTextModel, flat: FlatEpisodes, cfg: DictConfig) -> dict[str, Any]:
    """Recall both ways among test scenes, right where picture and text have the same objects."""
    rng = np.random.default_rng(11)
    texts: list[str] = []
    rows, shown = [], []
    for row in flat.starts[flat.episodes("test")]:
        scene = Scene.from_state(flat.state, int(row))
        said = caption(scene, rng, split="held_out", complete=True)
        if said is not None and len(texts) < cfg.cases:
            texts.append(said.text)
            rows.append(int(row))
            shown.append(frozenset(scene.combinations))
    similar = (clip.encode_image(np.array(flat.frames[rows])) @ clip.encode_text(texts).T).numpy()
    same = np.array([[a == b for b in shown] for a in shown])
    shuffled = np.roll(similar, 1, axis=0)
    return {
        "clip_text_recall_1": mean_figure(recall(similar, same, 1), cfg.resamples),
        "clip_text_recall_5": mean_figure(recall(similar, same, 5), cfg.resamples),
        "clip_image_recall_1": mean_figure(recall(similar.T, same.T, 1), cfg.resamples),
        "clip_image_recall_5": mean_figure(recall(similar.T, same.T, 5), cfg.resamples),
        "clip_text_recall_1_shuffled": mean_figure(recall(shuffled, same, 1), cfg.resamples),
    }


def _confusion(labels: NDArray[np.int64], chosen: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """For each true combination how often each was chosen."""
    table: dict[str, dict[str, int]] = {}
    for true, said in zip(labels, chosen, strict=True):
        row = table.setdefault(_name(true), {})
        row[_name(said)] = row.get(_name(said), 0) + 1
    return table


def _name(number: int) -> str:
    return " ".join(COMBINATIONS[number])


def _right_and_wrong(right: NDArray[np.bool_]) -> list[int]:
    """Some cases to show: as many wrong ones as right ones, where there are so many."""
    wrong, well = np.flatnonzero(~right), np.flatnonzero(right)
    half = _SHOWN // 2
    return [*wrong[:half].tolist(), *well[: _SHOWN - min(half, len(wrong))].tolist()]
