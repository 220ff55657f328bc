"""What the training of a probe needs: a model for Push frames, and frames with their truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from envs.gap.probe import StateProbe
from envs.gap.probe_data import ProbeFrames
from envs.gap.probe_objective import ProbeObjective
from envs.push_scene import COLOURS, SHAPES
from envs.recording import split_of
from multimodal.errors import DatasetError
from multimodal.store import EpisodeStore

__all__ = ["VIEW_HALF_M", "probe_datasets", "probe_objective"]

VIEW_HALF_M: Final = 0.2138
"""Half of the table's side that the camera of Push sees: 1.2 m × tan(20.2° / 2)."""

_RENDERED = 16_000
_VALIDATION = 1_000
_PER_EPISODE = 8
_MOST_EPISODES = 2_000


def probe_objective(width: int = 48, size_px: int = 64) -> ProbeObjective:
    """A new probe for Push frames, ready to be trained.

    Args:
        width: channels of the probe.
        size_px: side of the frames.
    """
    return ProbeObjective(
        StateProbe(
            height_px=size_px,
            width_px=size_px,
            extent_m=VIEW_HALF_M,
            colours=len(COLOURS),
            shapes=len(SHAPES),
            width=width,
        )
    )


def probe_datasets(
    store: EpisodeStore | None = None,
    *,
    size_px: int = 64,
    rendered: int = _RENDERED,
    validation: int = _VALIDATION,
) -> tuple[ProbeFrames, ProbeFrames]:
    """Real frames of training seeds to learn from, and of validation seeds to be judged on.

    Freshly rendered scenes hold one to four objects; recorded episodes, where there are any, add
    the contacts of long pushing.

    Args:
        store: recorded Push episodes, or None.
        size_px: side of the rendered frames.
        rendered: frames rendered for training.
        validation: frames rendered for validation.

    Raises:
        DatasetError: the recorded frames have another size.
    """
    fresh = ProbeFrames.rendered(rendered, _seeds("train"), size_px=size_px)
    held = ProbeFrames.rendered(validation, _seeds("validation"), size_px=size_px)
    if store is None:
        return fresh, held
    indices = store.indices("train")[:_MOST_EPISODES]
    recorded = ProbeFrames.recorded((store[index] for index in indices), _PER_EPISODE)
    if recorded.frames.shape[1:] != fresh.frames.shape[1:]:
        raise DatasetError(
            f"The dataset has frames {recorded.frames.shape[1:]} and the probe is trained on "
            f"{fresh.frames.shape[1:]}. Give size_px={recorded.frames.shape[1]}."
        )
    return ProbeFrames.joined([fresh, recorded]), held


def _seeds(split: str) -> Iterator[int]:
    """Seeds of a split, far beyond those of any recording."""
    seed = 2**31
    while True:
        seed -= 1
        if split_of(seed) == split:
            yield seed
