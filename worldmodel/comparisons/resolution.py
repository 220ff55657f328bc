"""`worldmodel train objective=resolution`: ways to afford a high resolution, in one table.

A model that reads every patch is trained first. Each way starts from its weights and learns on for
the same number of steps on the same questions, the full one too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import nn
from torch.utils.data import default_collate

from multimodal.asked_frames import ANSWERS, ASKED_KINDS, AskedFrames
from multimodal.patches import patch_grid
from multimodal.views import FullView, PerceiverView, PyramidView, RaggedView
from worldmodel.comparisons.arms import train_arm
from worldmodel.comparisons.table import write_table
from worldmodel.intervals import ratio_interval
from worldmodel.objectives.resolution import ResolutionObjective
from worldmodel.runs import RunDirectory
from worldmodel.training.chain import stage_settings
from worldmodel.training.clip_stage import text_tokenizer
from worldmodel.training.settings import TrainSettings

if TYPE_CHECKING:
    from worldmodel.training.stages import Source

__all__ = ["compare", "ways"]

_DRAWS = 2**22
_VALIDATION = 128
_TEST_BATCH = 32
_TIMED = 20


def ways(tokens: int, size: dict[str, Any]) -> dict[str, Callable[[], nn.Module]]:
    """The arms by name.

    Args:
        tokens: patches of a whole image.
        size: sizes of `FullView`.
    """
    return {
        "full": lambda: FullView(**size),
        "perceiver": lambda: PerceiverView(tokens // 4, **size),
        "ragged_half": lambda: RaggedView(tokens // 2, **size),
        "ragged_quarter": lambda: RaggedView(tokens // 4, **size),
        "pyramid": lambda: PyramidView(**size),
    }


def compare(source: Source, directory: RunDirectory) -> dict[str, float]:
    """Train and measure every way.

    Args:
        source: of the verb `train`; `data` holds frames of the high resolution.
        directory: gets a folder for each arm, `table.json` and `table.md`.

    Returns:
        For each arm share of right answers, tokens and milliseconds; `perceiver_loss`.
    """
    flat, tokenizer = source.flat, text_tokenizer(source)
    config: Any = OmegaConf.to_container(source.cfg.size.resolution, resolve=True)
    depth, further = int(config.pop("reader_depth")), float(config.pop("further"))
    rows, columns = patch_grid(flat.frames.shape[1], flat.frames.shape[2], config["patch_px"])
    size = {**config, "grid": rows}
    settings = stage_settings(source, "resolution")
    train = AskedFrames(flat, tokenizer, "train", source.cfg.seed, _DRAWS)
    validation = AskedFrames(flat, tokenizer, "validation", 0, _VALIDATION)

    def objective(view: nn.Module) -> ResolutionObjective:
        return ResolutionObjective(
            view, len(tokenizer), size["width"], depth=depth, heads=size["heads"]
        )

    base = objective(FullView(**size))
    train_arm(source, base, train, validation, settings, RunDirectory(directory.path / "base"))
    test = AskedFrames(
        flat, tokenizer, "test", 1, len(flat.episodes("test")), paraphrases="held_out"
    )
    shorter = _shortened(settings, further)
    measured: dict[str, tuple[NDArray[np.float64], dict[str, float]]] = {}
    for name, view in ways(rows * columns, size).items():
        torch.manual_seed(settings.seed)
        arm = objective(view())
        arm.load_state_dict(base.state_dict(), strict=False)
        folder = RunDirectory(directory.path / name)
        train_arm(source, arm, train, validation, shorter, folder)
        measured[name] = _measure(arm, test)
    write_table(
        directory,
        f"Ways to afford {flat.frames.shape[1]} px: the same questions about held-out scenes",
        {name: row for name, (_, row) in measured.items()},
    )
    return _figures(measured)


def _shortened(settings: TrainSettings, further: float) -> TrainSettings:
    steps = max(1, round(settings.steps * further))
    return settings.model_copy(update={"steps": steps, "warmup_steps": max(1, steps // 20)})


@torch.no_grad()
def _measure(
    arm: ResolutionObjective, test: AskedFrames
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Right and asked questions of each image (F, 2), and the arm's row of the table."""
    counts = []
    kinds: dict[str, list[float]] = {kind: [] for kind in ASKED_KINDS}
    for start in range(0, len(test), _TEST_BATCH):
        items = [test[k] for k in range(start, min(start + _TEST_BATCH, len(test)))]
        batch = default_collate(items)
        said = arm.logits(batch["frames"], batch["questions"]).argmax(-1)
        asked = batch["answers"] >= 0
        right = (said == batch["answers"]) & asked
        counts.append(torch.stack([right.sum(-1), asked.sum(-1)], -1))
        for number, kind in enumerate(ASKED_KINDS):
            kinds[kind] += right[batch["kinds"] == number].float().tolist()
    table = torch.cat(counts).double().numpy()
    frames = batch["frames"][:1]
    row = {
        "right": float(table[:, 0].sum() / table[:, 1].sum()),
        "tokens": float(arm.view(frames).tokens.shape[1]),
        "ms": _milliseconds(arm, frames, batch["questions"][:1]),
        **{kind: float(np.mean(values)) for kind, values in kinds.items() if values},
    }
    return table, row


def _milliseconds(arm: ResolutionObjective, frames: torch.Tensor, texts: torch.Tensor) -> float:
    """Processor time of one image with its questions, which other programs do not lengthen."""
    times = []
    for _ in range(_TIMED):
        begun = time.process_time()
        arm.logits(frames, texts)
        times.append(1000 * (time.process_time() - begun))
    return float(np.median(times))


def _figures(
    measured: dict[str, tuple[NDArray[np.float64], dict[str, float]]],
) -> dict[str, float]:
    figures = {
        f"resolution_{name}_{what}": row[what]
        for name, (_, row) in measured.items()
        for what in ("right", "tokens", "ms")
    }
    full, perceiver = measured["full"][0], measured["perceiver"][0]
    lost = ratio_interval(full[:, 0] - perceiver[:, 0], full[:, 1])
    assert lost is not None
    figures |= {"perceiver_loss": lost.value}
    figures |= {"perceiver_loss_low": lost.low, "perceiver_loss_high": lost.high}
    return figures | {"resolution_guess": 1 / len(ANSWERS), "resolution_images": float(len(full))}
