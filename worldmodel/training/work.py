"""What a stage of `worldmodel train` consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.utils.data import Dataset

from worldmodel.training.trainer import Collate

if TYPE_CHECKING:
    from worldmodel.training.stages import Source

__all__ = ["Stage", "Work"]


@dataclass(frozen=True)
class Work:
    """What a stage trains.

    Attributes:
        build: makes the objective, the same each time.
        train: the training set.
        validation: the fixed validation set; None where the dataset holds nothing out.
        collate: makes a batch of a list of samples; torch's default otherwise.
    """

    build: Callable[[], nn.Module]
    train: Dataset[Any]
    validation: Dataset[Any] | None
    collate: Collate | None = None


@dataclass(frozen=True)
class Stage:
    """How a stage comes by its work, and by the account of its data.

    Attributes:
        work: makes the work; called once the stage is known not to be done.
        data: JSON values for the model card: `id`, `fingerprint` and what else describes the data.
            A stage whose fingerprint changed is trained anew.
        inputs: JSON values of what else decides the result, such as earlier stages' models.
    """

    work: Callable[[Source], Work]
    data: Callable[[Source], dict[str, Any]]
    inputs: Callable[[Source], dict[str, Any]] | None = None
