"""λ-returns of imagined rollouts, and the scale that makes advantages comparable across worlds."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ReturnScale", "lambda_returns"]


def lambda_returns(
    rewards: Tensor, continues: Tensor, values: Tensor, discount: float, mix: float
) -> Tensor:
    """R_t = r_t + γ c_t ((1 - λ) V_{t+1} + λ R_{t+1}), from the last step backwards.

    Args:
        rewards: (T, B), of arriving at step t + 1.
        continues: (T, B), 1 where the rollout goes on after step t + 1 and 0 where it ended there.
        values: (T + 1, B), the critic's estimates; the last bootstraps.
        discount: γ.
        mix: λ.

    Returns:
        (T, B).
    """
    result = values[-1]
    found = []
    for step in range(len(rewards) - 1, -1, -1):
        ahead = (1 - mix) * values[step + 1] + mix * result
        result = rewards[step] + discount * continues[step] * ahead
        found.append(result)
    return torch.stack(found[::-1])


class ReturnScale:
    """A running spread of returns, from the 5th to the 95th percentile (DreamerV3).

    Small spreads are not blown up: the scale never falls below `floor`.
    """

    def __init__(self, decay: float = 0.98, floor: float = 0.5) -> None:
        self.decay, self.floor = decay, floor
        self.spread = 0.0
        self._weight = 0.0

    def update(self, returns: Tensor) -> float:
        """Take in returns of any shape and give the scale to divide advantages by."""
        low, high = torch.quantile(returns.flatten(), torch.tensor([0.05, 0.95]).to(returns))
        self.spread = self.decay * self.spread + (1 - self.decay) * float(high - low)
        self._weight = self.decay * self._weight + 1 - self.decay
        return self.scale

    @property
    def scale(self) -> float:
        """What advantages are divided by."""
        return max(self.floor, self.spread / max(self._weight, 1e-8))

    def state(self) -> tuple[float, float]:
        """What `restore` takes."""
        return self.spread, self._weight

    def restore(self, spread: float, weight: float) -> None:
        """Go on from a saved state."""
        self.spread, self._weight = spread, weight
