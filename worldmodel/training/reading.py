"""How fast the dataset serves what a training reads, against how fast it is trained on."""

import time
from typing import Any

from torch.utils.data import DataLoader, Dataset

from worldmodel.runs import RunDirectory
from worldmodel.training.sampling import StepBatches
from worldmodel.training.settings import TrainSettings

__all__ = ["reading_figures"]

_SECONDS = 1.0


def reading_figures(
    dataset: Dataset[Any], settings: TrainSettings, run: RunDirectory, processes: int = 1
) -> dict[str, float]:
    """Measure the reader alone, batch by batch as the training asks for them.

    One process reads, although `settings.workers` may do so, and the training's speed is its
    fastest logged stretch: the reader is faster than training by the ratio given or by more.

    Args:
        dataset: what was trained on.
        settings: the training's.
        run: the training's folder, for the speeds in its history.
        processes: how many trained together, each reading its own share.

    Returns:
        `clips_per_s`, samples served per second, and `clips_over_training`, that over the samples
        which a process trains on per second; the latter only where the history has a speed.
    """
    served = _samples_per_s(dataset, settings)
    figures = {"clips_per_s": served}
    trained = [row["samples_per_s"] for row in run.history() if row.get("samples_per_s")]
    if trained:
        figures["clips_over_training"] = served * processes / max(trained)
    return figures


def _samples_per_s(dataset: Any, settings: TrainSettings) -> float:
    batches = StepBatches(len(dataset), settings.batch_size, settings.seed, 0, settings.steps)
    batch_count, started_s = 0, time.perf_counter()
    for _ in DataLoader(dataset, batch_sampler=batches):
        batch_count += 1
        if time.perf_counter() - started_s > _SECONDS:
            break
    return batch_count * settings.batch_size / (time.perf_counter() - started_s)
