"""`worldmodel evaluate model=curation`: planted duplicates and false texts, and what else is found.

Clips of the held-out scenes get true captions; some clips are copied with grain, dimmed or
compressed, and some captions are exchanged for ones that are false of their picture.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from PIL import Image

from multimodal.curation import CurationReport, curate
from multimodal.curation.report import clip_scores
from multimodal.flat import FlatEpisodes
from multimodal.language import Scene, caption
from multimodal.language.vocabulary import named_combinations
from worldmodel.evaluation.picture_page import Example, write_page
from worldmodel.evaluation.vlm_cases import open_flat
from worldmodel.intervals import mean_figure
from worldmodel.readers import load_clip
from worldmodel.runs import RunDirectory

__all__ = ["damaged", "evaluate"]

_PLANTED_SHARE = 0.1
_TRUSTED_QUANTILE = 0.05
_SHOWN = 6


@dataclass(frozen=True, eq=False)
class _Planted:
    clips: NDArray[np.uint8]
    texts: list[str]
    copies: set[int]
    false: set[int]


def damaged(clip: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A clip (F, H, W, 3) as a second recording of it would look: grainy, dimmed or compressed."""
    which = int(rng.integers(3))
    if which == 0:
        noisy = clip + rng.normal(0, 3, clip.shape)
        return np.clip(noisy, 0, 255).astype(np.uint8)
    if which == 1:
        return (clip * rng.uniform(0.94, 0.99)).astype(np.uint8)
    frames = []
    for frame in clip:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, format="JPEG", quality=90)
        frames.append(np.asarray(Image.open(buffer).convert("RGB")))
    return np.stack(frames)


def evaluate(cfg: DictConfig, directory: RunDirectory) -> dict[str, float]:
    """Measure curation on planted faults.

    Args:
        cfg: of the verb `evaluate`.
        directory: gets `dropped.json`, `report.json` and `index.html`.

    Returns:
        Recall of planted duplicates and false texts, how many others were dropped, and how well
        CLIP's score tells true texts from false ones (`curation_text_auroc`).
    """
    clip = load_clip(str(cfg.checkpoint or "clip"), cfg.trunk)
    flat = open_flat(cfg.scenes)
    trusted, texts = _captioned(flat, "validation", int(cfg.cases), 41)
    least = float(np.quantile(clip_scores(clip, trusted[:, -1], texts), _TRUSTED_QUANTILE))
    planted = _plant(*_captioned(flat, "test", int(cfg.cases), 43))
    report = curate(planted.clips, planted.texts, clip, least)
    directory.write_json("dropped.json", report.as_json())
    figures = _figures(report, planted, cfg)
    directory.write_json("report.json", {"figures": figures})
    examples = [
        Example(
            planted.clips[d.item],
            d.text,
            "planted" if _planted(d.item, planted) else "found",
            d.reason,
        )
        for reason in ("duplicate", "text")
        for d in [each for each in report.dropped if each.reason == reason][:_SHOWN]
    ]
    write_page(directory.path, "What curation dropped", figures, examples)
    return {name: float(figure["value"]) for name, figure in figures.items()}


def _planted(item: int, planted: _Planted) -> bool:
    return item in planted.copies or item in planted.false


def _captioned(
    flat: FlatEpisodes, split: str, count: int, seed: int
) -> tuple[NDArray[np.uint8], list[str]]:
    """Clips of three frames (first, middle, last) and a true caption of the last."""
    rng = np.random.default_rng(seed)
    clips, texts = [], []
    for episode in rng.permutation(flat.episodes(split)):
        first, last = int(flat.starts[episode]), int(flat.starts[episode + 1]) - 1
        said = caption(Scene.from_state(flat.state, last), rng, split="any", complete=True)
        if said is not None and named_combinations(said.text):
            clips.append(np.array(flat.frames[[first, (first + last) // 2, last]]))
            texts.append(said.text)
        if len(clips) == count:
            break
    return np.stack(clips), texts


def _plant(clips: NDArray[np.uint8], texts: list[str]) -> _Planted:
    """Copy some clips, damaged, to the end, and exchange some of the other texts."""
    rng = np.random.default_rng(47)
    count = len(clips)
    some = rng.permutation(count)
    each = max(1, int(_PLANTED_SHARE * count))
    copied, wrong = some[:each], some[each : 2 * each]
    texts, false = list(texts), set()
    given = list(texts)
    for item in wrong:
        others = [t for t in given if named_combinations(t) != named_combinations(given[item])]
        texts[item] = others[int(rng.integers(len(others)))]
        false.add(int(item))
    copies = np.stack([damaged(clips[item], rng) for item in copied])
    return _Planted(
        np.concatenate([clips, copies]),
        [*texts, *(texts[item] for item in copied)],
        set(range(count, count + each)),
        false,
    )


def _figures(
    report: CurationReport, planted: _Planted, cfg: DictConfig
) -> dict[str, dict[str, float]]:
    by_reason = {
        reason: {each.item for each in report.dropped if each.reason == reason}
        for reason in ("duplicate", "text")
    }
    whole = set(range(len(planted.clips))) - planted.copies - planted.false
    scores = np.array(report.scores)
    false = scores[sorted(planted.false)]
    true = scores[sorted(whole)]
    below = (false[:, None] < true[None]).mean(1)
    hits: dict[str, list[bool]] = {
        "curation_duplicates_found": [k in by_reason["duplicate"] for k in sorted(planted.copies)],
        "curation_duplicates_wrong": [k in by_reason["duplicate"] for k in sorted(whole)],
        "curation_false_texts_found": [k in by_reason["text"] for k in sorted(planted.false)],
        "curation_true_texts_dropped": [k in by_reason["text"] for k in sorted(whole)],
    }
    measured = {
        name: mean_figure(np.array(hit, float), cfg.resamples) for name, hit in hits.items()
    }
    return measured | {"curation_text_auroc": mean_figure(below, cfg.resamples)}
