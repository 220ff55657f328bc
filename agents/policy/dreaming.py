"""The training loop in imagination: draw starts, let the policy act in the model, improve it.

Every draw follows from (seed, round). A run that was stopped goes on with the same weights and
optimizer, in new lanes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from agents.policy.imagination import Imagination
from agents.policy.improvement import Improver
from multimodal.errors import CheckpointError
from worldmodel.checkpoint import verify, write_manifest
from worldmodel.durable import atomic_directory

__all__ = ["Dream", "train_in_imagination"]

_KIND = "policy-training"
_STATE = "state"


@dataclass(frozen=True)
class Dream:
    """How training in imagination goes about it.

    Attributes:
        rounds: rollout-and-improve rounds in all.
        horizon: steps of every lane in a round.
        warmup: first rounds, in which only the critic learns.
        seed: of starts, actions and sample order.
        save_every: rounds between states that a stopped run goes on from.
        keep: rounds whose policies are kept for later comparison.
        final_rate: share of the learning rate that is left in the last round, linearly reached.
    """

    rounds: int
    horizon: int = 16
    warmup: int = 3
    seed: int = 0
    save_every: int = 10
    keep: tuple[int, ...] = ()
    final_rate: float = 1.0


def train_in_imagination(
    improver: Improver,
    imagination: Imagination[Any],
    dream: Dream,
    folder: Path,
    report: Callable[[dict[str, float]], None],
) -> float:
    """Train a policy without any simulator but the model.

    Args:
        improver: policy, prior and optimizer.
        imagination: the world model's lanes.
        dream: rounds and so on.
        folder: where states and kept policies go; a run found there is gone on with.
        report: told the figures of every round.

    Returns:
        Seconds spent in all, those before a resume included.

    Raises:
        ConfigError: rewards of the model are not finite.
        CheckpointError: the saved state is of another policy.
        KeyboardInterrupt: Ctrl-C; what was learned is kept, and the run goes on from there.
    """
    first, spent = _resumed(improver, folder)
    begun = time.perf_counter() - spent
    number = first
    try:
        while number < dream.rounds:
            figures = _round(improver, imagination, dream, number)
            number += 1
            report({"round": number, "time_s": time.perf_counter() - begun, **figures})
            if number in dream.keep:
                with atomic_directory(folder / f"kept-{number:05d}") as hidden:
                    improver.policy.save_pretrained(hidden)
            if number % dream.save_every == 0 or number == dream.rounds:
                _save(improver, folder / _STATE, number, time.perf_counter() - begun)
    except KeyboardInterrupt:
        _save(improver, folder / _STATE, number, time.perf_counter() - begun)
        raise
    return time.perf_counter() - begun


def _round(
    improver: Improver, imagination: Imagination[Any], dream: Dream, number: int
) -> dict[str, float]:
    """Roll out and improve once."""
    rng = np.random.default_rng([dream.seed, number])
    generator = torch.Generator(imagination.lanes.device)
    generator.manual_seed(dream.seed * 1_000_003 + number)
    since = time.perf_counter()
    improver.slow_down(1 - (1 - dream.final_rate) * number / dream.rounds)
    batch = imagination.roll(improver.policy, dream.horizon, rng, generator)
    figures = improver.improve(batch, generator, actor=number >= dream.warmup)
    seconds = time.perf_counter() - since
    return {**figures, "steps_per_s": imagination.count * dream.horizon / seconds}


def _save(improver: Improver, target: Path, rounds: int, seconds: float) -> None:
    with atomic_directory(target) as hidden:
        save_file(_tensors(improver), str(hidden / "training.safetensors"))
        spread, weight = improver.scale.state()
        facts = {"rounds": rounds, "seconds": seconds, "spread": spread, "weight": weight}
        (hidden / "training.json").write_text(json.dumps(facts) + "\n")
        write_manifest(hidden, _KIND)


def _tensors(improver: Improver) -> dict[str, Tensor]:
    """Weights, and the optimizer's moments by the parameter's number."""
    named = {f"policy.{name}": value for name, value in improver.policy.state_dict().items()}
    for index, parameter in enumerate(improver.parameters):
        for name, value in improver.optimizer.state.get(parameter, {}).items():
            named[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    return {name: value.detach().clone().contiguous() for name, value in named.items()}


def _resumed(improver: Improver, folder: Path) -> tuple[int, float]:
    """Go on from a saved state: rounds done and seconds spent, zeros where there is none."""
    found = folder / _STATE
    if not found.is_dir():
        return 0, 0.0
    verify(found, _KIND)
    device = next(iter(improver.policy.parameters())).device
    tensors = load_file(str(found / "training.safetensors"), str(device))
    weights = {k.removeprefix("policy."): v for k, v in tensors.items() if k.startswith("policy.")}
    try:
        improver.policy.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{found} holds the training of another policy: {error}. Use another out=DIR, or "
            "resume=never."
        ) from error
    for index, parameter in enumerate(improver.parameters):
        prefix = f"optimizer.{index}."
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        if state:
            improver.optimizer.state[parameter] = state
    facts = json.loads((found / "training.json").read_text())
    improver.scale.restore(facts["spread"], facts["weight"])
    return int(facts["rounds"]), float(facts["seconds"])
