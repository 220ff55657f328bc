"""Weighted means of an objective's metrics, added up on the device and read once per log line."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed import all_reduce

__all__ = ["MetricSums"]


class MetricSums:
    """Sums of scalar metrics since the last reading.

    Args:
        device: where the sums are kept; adding to them never waits for it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, int] = {}

    def add(self, metrics: Mapping[str, Any], weight: int = 1) -> None:
        """Add scalars; a metric may be missing from some steps.

        Args:
            metrics: name to scalar tensor or number.
            weight: how many samples (or batches) the metrics are means of.
        """
        for name, value in metrics.items():
            scalar = torch.as_tensor(value, dtype=torch.float64, device=self._device).detach()
            self._sums[name] = self._sums.get(name, 0.0) + scalar * weight
            self._weights[name] = self._weights.get(name, 0) + weight

    def read(self, processes: int = 1) -> dict[str, float]:
        """The means over all processes since the last reading; waits for the device.

        Args:
            processes: how many processes read together. They have to have added the same names.

        Returns:
            Name to mean, by name.
        """
        names = sorted(self._sums)
        if not names:
            return {}
        means = torch.stack([self._sums[name] / self._weights[name] for name in names])
        if processes > 1:
            all_reduce(means)
            means /= processes
        self._sums.clear()
        self._weights.clear()
        return dict(zip(names, means.tolist(), strict=True))

    def finite(self, name: str) -> bool:
        """Whether a sum is a finite number so far; waits for the device."""
        return name not in self._sums or bool(torch.isfinite(self._sums[name]).item())

    def capture(self) -> tuple[dict[str, int], dict[str, Tensor]]:
        """Weights and sums not read yet, for a checkpoint."""
        return dict(self._weights), {name: value.cpu() for name, value in self._sums.items()}

    def restore(self, weights: Mapping[str, int], sums: Mapping[str, Tensor]) -> None:
        """Put back what `capture` took."""
        self._weights = dict(weights)
        self._sums = {name: sums[name].to(self._device) for name in weights}
