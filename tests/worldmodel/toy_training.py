"""A small real objective for the tests of training."""

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

from worldmodel.training import TrainResult, TrainSettings, train_objective


class Regression(nn.Module):
    """An MLP with dropout, input noise, tied weights, frozen weights and an averaged copy."""

    def __init__(self, noise: float = 0.05, dropout: float = 0.1) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.noise = noise
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.net = nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Dropout(dropout), nn.Linear(32, 4))
        self.again = self.net[3]
        self.averaged = nn.Linear(32, 4).requires_grad_(False)
        self.register_buffer("steps_seen", torch.zeros((), dtype=torch.long))

    def forward(self, x, y):
        hidden = self.net[:3](self.frozen(x) + self.noise * torch.randn_like(x))
        error = self.again(hidden) - y
        return {"loss": error.square().mean(), "absolute": error.abs().mean().detach()}

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        self.steps_seen.fill_(step)
        for mean, now in zip(self.averaged.parameters(), self.again.parameters(), strict=True):
            mean.lerp_(now, 0.1)


class Points(Dataset):
    """Item i is a function of (seed, i)."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
        x = torch.randn(8, generator=generator)
        return {"x": x, "y": x[:4].sin()}


def settings(**changes) -> TrainSettings:
    defaults = {
        "steps": 60,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "warmup_steps": 5,
        "log_every": 4,
        "validate_every": 30,
        "save_every": 7,
        "precision": "float32",
        "compute": "cpu",
    }
    return TrainSettings(**{**defaults, **changes})


def train(run: Path, objective: nn.Module | None = None, resume="auto", **changes) -> TrainResult:
    return train_objective(
        objective or Regression(),
        Points(50, 0),
        Points(20, 1),
        settings(**changes),
        run,
        resume=resume,
        wandb_mode="disabled",
    )


def train_and_digest(run: Path) -> dict[str, float]:
    """Train without noise, so that the number of processes is the only difference."""
    objective = Regression(noise=0.0, dropout=0.0)
    train(run, objective, steps=20, accumulate=2)
    return {name: float(value.double().sum()) for name, value in objective.state_dict().items()}
