"""One arm of a comparison: an objective trained in a folder of its own, resumable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.data import Dataset

from worldmodel.runs import RunDirectory
from worldmodel.training.settings import TrainResult, TrainSettings
from worldmodel.training.state import load_model, read_state
from worldmodel.training.train import train_objective

if TYPE_CHECKING:
    from worldmodel.training.stages import Source
    from worldmodel.training.trainer import Collate

__all__ = ["train_arm"]


def train_arm(
    source: Source,
    objective: nn.Module,
    train: Dataset[Any],
    validation: Dataset[Any] | None,
    settings: TrainSettings,
    run: RunDirectory,
    collate: Collate | None = None,
) -> TrainResult:
    """Train an arm to its last step, going on where it was; `objective` ends with its weights.

    Args:
        source: of the verb `train`; says whether to resume, and how wandb is used.
        objective: as `train_objective` takes it.
        train: the training set, the same for all arms.
        validation: the fixed validation set.
        settings: the same for all arms, unless steps are what makes them equal.
        run: the arm's own folder.
        collate: makes a batch.
    """
    torch.manual_seed(settings.seed)
    result = train_objective(
        objective,
        train,
        validation,
        settings,
        run,
        source.cfg.resume,
        source.cfg.wandb.mode,
        collate=collate,
        wandb_project=source.cfg.wandb.project,
    )
    load_model(objective, read_state(result.checkpoint).model, result.checkpoint)
    objective.to("cpu").eval()
    return result
