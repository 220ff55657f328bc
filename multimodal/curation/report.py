"""Curation of clips with texts: what is kept, what is dropped, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch.nn.functional import normalize

from multimodal.clip import ImageTextModel
from multimodal.curation.duplicates import duplicate_groups
from multimodal.curation.hashing import perceptual_hash
from multimodal.errors import DatasetError

__all__ = ["CurationReport", "Dropped", "clip_scores", "curate"]


@dataclass(frozen=True)
class Dropped:
    """One item that was dropped.

    Attributes:
        item: its number.
        reason: "duplicate" of an earlier one, or "text" that is not true of the picture.
        like: the item it repeats; None for a text.
        score: agreement of picture and text.
        text: the text.
    """

    item: int
    reason: Literal["duplicate", "text"]
    like: int | None
    score: float
    text: str


@dataclass(frozen=True)
class CurationReport:
    """What was kept and what was dropped.

    Attributes:
        kept: numbers of the items that stay, in order.
        dropped: the others.
        scores: agreement of every item's picture and text, (N,).
        least_score: below it a text was dropped.
    """

    kept: tuple[int, ...]
    dropped: tuple[Dropped, ...]
    scores: tuple[float, ...]
    least_score: float

    def as_json(self) -> dict[str, Any]:
        """Counts, and every dropped item with its reason."""
        reasons = Counter(each.reason for each in self.dropped)
        return {
            "items": len(self.scores),
            "kept": len(self.kept),
            "dropped": dict(reasons),
            "least_score": self.least_score,
            "dropped_items": [asdict(each) for each in self.dropped],
        }


def clip_scores(
    clip: ImageTextModel, frames: NDArray[np.uint8], texts: Sequence[str]
) -> NDArray[np.float32]:
    """Cosine of each picture (N, H, W, 3) and its own text, (N,)."""
    pictures, words = clip.encode_image(frames), clip.encode_text(texts)
    scores: NDArray[np.float32] = (pictures * words).sum(-1).numpy()
    return scores


def curate(
    clips: NDArray[np.uint8],
    texts: Sequence[str],
    clip: ImageTextModel,
    least_score: float,
    most_bits: int = 40,
    least_cosine: float = 0.6,
) -> CurationReport:
    """Drop duplicates, of which the first stays, and texts that do not fit.

    Args:
        clips: uint8 (N, F, H, W, 3); stills have F = 1. The text is about the last frame.
        texts: one for each.
        clip: judges both.
        least_score: pairs that agree less are dropped; take a low quantile over pairs you trust.
        most_bits: see `duplicate_groups`.
        least_cosine: see `duplicate_groups`.

    Raises:
        DatasetError: not as many texts as clips, or none at all.
    """
    if len(clips) != len(texts) or not len(clips):
        raise DatasetError(f"{len(clips)} clips and {len(texts)} texts; each clip has one text.")
    count, frames = clips.shape[:2]
    flat = clips.reshape(count * frames, *clips.shape[2:])
    hashes = perceptual_hash(flat).reshape(count, frames, -1)
    pictures = clip.encode_image(flat).unflatten(0, (count, frames))
    vectors = normalize(pictures.mean(1), dim=-1).numpy()
    scores = (pictures[:, -1] * clip.encode_text(texts)).sum(-1).numpy()
    like = {
        item: group[0]
        for group in duplicate_groups(hashes, vectors, most_bits, least_cosine)
        for item in group[1:]
    }
    dropped = []
    for item in range(count):
        if item in like or scores[item] < least_score:
            reason: Literal["duplicate", "text"] = "duplicate" if item in like else "text"
            score = float(scores[item])
            dropped.append(Dropped(item, reason, like.get(item), score, texts[item]))
    gone = {each.item for each in dropped}
    kept = tuple(item for item in range(count) if item not in gone)
    return CurationReport(kept, tuple(dropped), tuple(map(float, scores)), least_score)
