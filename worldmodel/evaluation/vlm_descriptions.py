"""How well a vision-language model describes scenes: objects that are false, missing or doubled.

Mistakes are rare, so thousands of scenes are described. Each is another held-out start of the world
that the dataset was recorded from, made anew from its seed: the frames of one episode go wrong
together, and tell little more than the first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from multimodal.errors import ConfigError, DatasetError
from multimodal.language import Scene
from multimodal.splits import seeds_of
from multimodal.store import EpisodeStore
from multimodal.vlm.descriptions import Mistakes, describe, description, mistakes
from worldmodel.evaluation.picture_page import Example
from worldmodel.intervals import mean_figure

__all__ = ["Described", "held_out_scenes", "left_over", "measure_descriptions"]

Say = Callable[[Sequence[NDArray[np.uint8]], Sequence[str]], list[str]]
"""What a model answers: clips uint8 (T, H, W, 3) and as many questions to answers."""
# Answered at once. It bounds what answering takes on the way; `Looked` keeps what is seen of all
# frames to the end, so that the model before need not look again.
_BATCH = 256
_SHOWN = 6
# Where worlds are made; named, not imported, as that folder lies above this one.
_WORLDS = "envs.adapter"


@dataclass(frozen=True, eq=False)
class Described:
    """Scenes that are described, and how one asks for it.

    Attributes:
        frames: uint8 (N, H, W, 3).
        scenes: what they show.
        requests: in held-out words.
    """

    frames: NDArray[np.uint8]
    scenes: list[Scene]
    requests: list[str]

    def said(self, say: Say) -> list[str]:
        """What a model says of them."""
        clips, said = list(self.frames[:, None]), []
        for begin in range(0, len(clips), _BATCH):
            part = slice(begin, begin + _BATCH)
            said += say(clips[part], self.requests[part])
        return said


def held_out_scenes(path: Path | str, count: int) -> Described:
    """Starts of the test split, of the world that a dataset was recorded from.

    Args:
        path: the dataset.
        count: so many scenes; the first are those that it holds.

    Raises:
        ConfigError: less than one scene, or a world that cannot be made as it was recorded.
        DatasetError: it does not say how it was recorded, or has no episode of the test split.
        RenderingError: there is no offscreen OpenGL to draw the scenes with.
    """
    if count < 1:
        raise ConfigError(f"descriptions={count}: expected one held-out scene at least.")
    store = EpisodeStore.open(Path(path).parent, Path(path).name)
    recording, held_out = store.metadata.get("recording"), store.indices("test")
    if not recording or not held_out:
        raise DatasetError(
            f"{path} names no world that it was recorded from, or holds no episode of the test "
            "split; record it with `worldmodel record`, with more episodes."
        )
    world = import_module(_WORLDS).make_world(
        recording["world"], recording["size_px"], **json.loads(recording["options"])
    )
    seeds = seeds_of("test", count, min(store.records[k].seed for k in held_out))
    starts = [world.reset(seed=seed) for seed in seeds]
    world.close()
    rng = np.random.default_rng(13)
    return Described(
        np.stack([frame for frame, _ in starts]),
        [Scene.from_state(info["state"]) for _, info in starts],
        [describe(rng, "held_out") for _ in starts],
    )


def measure_descriptions(
    say: Say, before: Say | None, cfg: DictConfig
) -> tuple[dict[str, dict[str, float]], list[dict[str, Any]], list[Example]]:
    """Mistakes in descriptions, also against the model before preference optimisation.

    Args:
        say: what the model answers.
        before: what the model before answers; None for none.
        cfg: of the verb `evaluate`.

    Returns:
        The figures by name: mistakes of each kind in a description, descriptions without any, and
        how many mistakes are left of those before. Then a record of each description, and some to
        show, wrong ones first.
    """
    shown = held_out_scenes(cfg.scenes, int(cfg.descriptions))
    said = shown.said(say)
    now = _counted(said, shown.scenes)
    objects = float(sum(len(scene.objects) for scene in shown.scenes))
    report = {"described_objects": _certain(objects, len(said))} | _figures(now, "", cfg)
    records = [
        {"request": request, "said": text, "true": description(scene)}
        for request, text, scene in zip(shown.requests, said, shown.scenes, strict=True)
    ]
    if before is not None:
        earlier = shown.said(before)
        had = _counted(earlier, shown.scenes)
        report |= _figures(had, "_before", cfg)
        for name, left, of in zip(Mistakes._fields, now.T, had.T, strict=True):
            report[f"{name}_objects_ratio"] = left_over(left, of, int(cfg.resamples))
        for record, text in zip(records, earlier, strict=True):
            record["said_before"] = text
    wrong = np.flatnonzero(now.any(1))[: _SHOWN // 2]
    right = np.flatnonzero(~now.any(1))[: _SHOWN - len(wrong)]
    examples = [
        Example(shown.frames[k][None], shown.requests[k], records[k]["true"], said[k])
        for k in (*wrong.tolist(), *right.tolist())
    ]
    return report, records, examples


def _counted(said: Sequence[str], scenes: Sequence[Scene]) -> NDArray[np.float64]:
    """Mistakes of each description, (N, 3)."""
    return np.array([mistakes(t, s) for t, s in zip(said, scenes, strict=True)], np.float64)


def _figures(
    counted: NDArray[np.float64], when: str, cfg: DictConfig
) -> dict[str, dict[str, float]]:
    whole = mean_figure((counted == 0).all(1), cfg.resamples)
    each = zip(Mistakes._fields, counted.T, strict=True)
    figures = {f"{name}_objects{when}": mean_figure(values, cfg.resamples) for name, values in each}
    return figures | {f"whole_descriptions{when}": whole}


def left_over(
    now: NDArray[np.float64], before: NDArray[np.float64], resamples: int
) -> dict[str, float]:
    """How many mistakes there are for each that there was.

    Where there was none before, those of now are counted against one: none at all is 0, the least
    that can be, and a first mistake is 1, as if there had been one before.

    Args:
        now: mistakes in each case, (N,).
        before: in the same cases, (N,).
        resamples: of the bootstrap.

    Returns:
        value, the 95% interval low to high over paired cases, and count.
    """
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(resamples):
        drawn = rng.integers(len(now), size=len(now))
        ratios.append(now[drawn].sum() / max(1.0, before[drawn].sum()))
    low, high = np.percentile(ratios, [2.5, 97.5])
    value = float(now.sum() / max(1.0, before.sum()))
    return {"value": value, "low": float(low), "high": float(high), "count": len(now)}


def _certain(value: float, count: int) -> dict[str, float]:
    return {"value": value, "low": value, "high": value, "count": count}
