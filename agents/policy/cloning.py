"""Behaviour cloning: the policy that does what the recordings did, for the places it led to.

It is the baseline that training in imagination has to beat, the policy it starts from, and the
prior that keeps it near what the world model has seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from agents.policy.hindsight import Pushes, pushed_returns
from agents.policy.policy import Policy

__all__ = ["CloningObjective", "CloningSamples"]


class CloningSamples(Dataset[dict[str, Tensor]]):
    """Frames with aims and actions; item i is a function of (seed, i) alone.

    Args:
        seen: what is seen on every frame of the dataset, (F, S).
        pushes: the frames that led somewhere; likelier the more directly they did.
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        discount: γ of the returns.
    """

    def __init__(
        self, seen: Tensor, pushes: Pushes, seed: int, samples: int, discount: float
    ) -> None:
        self._seen, self._pushes, self._seed, self._samples = seen, pushes, seed, samples
        self._discount = discount
        self._cumulated = pushes.weights.double().cumsum(0)

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """Several samples at once."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + indices[0])
        draws = torch.rand(len(indices), generator=generator, dtype=torch.float64)
        picks = torch.searchsorted(self._cumulated, draws * self._cumulated[-1])
        picks = picks.clamp(max=len(self._pushes) - 1)
        rows = torch.from_numpy(self._pushes.rows)[picks]
        aims = self._pushes.aims[picks]
        named = {
            "seen": self._seen[rows],
            "aims": aims,
            "actions": self._pushes.actions[picks],
            "returns": pushed_returns(
                self._seen, rows, aims, self._pushes.horizons[picks], self._discount
            ),
        }
        return [{name: value[i] for name, value in named.items()} for i in range(len(picks))]


class CloningObjective(nn.Module):
    """Cross-entropy of the recorded action under the policy, and of its return under the critic.

    Args:
        policy: whose actor and critic learn; its view stays as it is.
        noise_m: standard deviation added to what is seen, so that the actor does not depend on
            positions finer than they are read.
    """

    def __init__(self, policy: Policy, noise_m: float = 0.002) -> None:
        super().__init__()
        self.policy, self.noise_m = policy, noise_m

    def forward(
        self, seen: Tensor, aims: Tensor, actions: Tensor, returns: Tensor
    ) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            seen: (B, S).
            aims: (B, AIM_DIM).
            actions: (B, A) inside the world's bounds.
            returns: (B,), of a push that reached its aim.
        """
        if self.training:
            seen = seen + self.noise_m * torch.randn_like(seen)
        features = self.policy.view.features(seen, aims)
        log_probs = self.policy.log_probs(features)
        targets = self.policy.action.soft_targets(self.policy.unscaled(actions).clamp(-1, 1))
        loss = -(targets * log_probs).sum((-1, -2)).mean()
        value_loss = self.policy.value.loss(self.policy.values(features), returns).mean()
        miss = (self.policy.action.mean(log_probs) - self.policy.unscaled(actions)).abs().mean()
        return {
            "loss": loss + 0.3 * value_loss,
            "action_loss": loss,
            "value_loss": value_loss,
            "action_error": miss,
        }
