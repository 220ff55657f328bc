"""The mean of several checkpoints of one training: what a decaying rate would have led to, cheaply.

Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization" (2018);
of checkpoints trained on otherwise varied data, Wortsman et al., "Model soups" (2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from multimodal.errors import CheckpointError
from worldmodel.checkpoint import verify
from worldmodel.training.state import KIND, read_state

__all__ = ["averaged_weights"]


def averaged_weights(checkpoints: Sequence[Path]) -> dict[str, Tensor]:
    """Mean parameters of an objective, by name, in float32.

    Args:
        checkpoints: folders that training wrote (`checkpoints/step-...`), at least one.

    Raises:
        CheckpointError: one is torn or altered, or they are of different architectures.
    """
    if not checkpoints:
        raise CheckpointError("Name at least one checkpoint to average.")
    total: dict[str, Tensor] = {}
    for checkpoint in checkpoints:
        verify(checkpoint, KIND)
        model = read_state(checkpoint).model
        if not total:
            total = {name: torch.zeros_like(value, dtype=torch.float64)
                     for name, value in model.items()}  # fmt: skip
        if {n: v.shape for n, v in model.items()} != {n: v.shape for n, v in total.items()}:
            raise CheckpointError(
                f"{checkpoint} has another architecture than {checkpoints[0]}: average checkpoints "
                "of one training, or of trainings that went on from one another."
            )
        for name, value in model.items():
            total[name] += value
    return {name: (value / len(checkpoints)).float() for name, value in total.items()}
