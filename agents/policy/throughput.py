"""Imagined steps per second, beside Stable-Baselines3 on rendered MuJoCo in the same run."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from agents.policy.beginnings import Beginnings, FreshBeginnings, ReadBeginnings
from agents.policy.imagination import Imagination
from agents.policy.improvement import Improver, Settings
from agents.policy.lanes import Lanes
from agents.policy.policy import Policy
from agents.policy.pose_lanes import PoseLanes
from agents.policy.stable_baselines import pusher_steps_per_s
from agents.policy.starts import Start
from multimodal.errors import MissingExtraError

__all__ = ["imagined_steps_per_s", "throughput_figures"]

_HORIZON = 16


class _OneStart:
    """The same frame and goal for every lane: what is shown does not change how long it takes."""

    def __init__(self, start: Start) -> None:
        self._start = start

    def draw(self, count: int, rng: np.random.Generator) -> Start:
        """`count` copies."""
        frames, goals = self._start
        return Start(frames.expand(count, *frames.shape[1:]), goals.expand(count, -1))


def _beginnings(lanes: Lanes[Any], start: Start) -> Beginnings[Any]:
    """As training has them: lanes over poses begin at frames that were read before."""
    if isinstance(lanes, PoseLanes):
        return ReadBeginnings(lanes.begin(start))
    return FreshBeginnings(lanes, _OneStart(start))


def imagined_steps_per_s(
    policy: Policy, lanes: Lanes[Any], count: int, seconds: float, start: Start
) -> float:
    """Steps of policy training per second: rolling out and improving, as training does it.

    Args:
        policy: whose copy is trained.
        lanes: the world model.
        count: rollouts side by side.
        seconds: how long to measure, at least; one round is done in any case.
        start: one beginning (B = 1).
    """
    learner = copy.deepcopy(policy).requires_grad_(True)
    learner.view.requires_grad_(False)
    improver = Improver(learner, copy.deepcopy(policy), Settings())
    imagination = Imagination(lanes, _beginnings(lanes, start), count)
    rng = np.random.default_rng(0)
    generator = torch.Generator(lanes.device)
    generator.manual_seed(0)

    def rounds() -> Iterator[None]:
        while True:
            batch = imagination.roll(learner, _HORIZON, rng, generator)
            improver.improve(batch, generator)
            yield

    work = rounds()
    next(work)
    begun, done = time.perf_counter(), 0
    while done == 0 or time.perf_counter() - begun < seconds:
        next(work)
        done += 1
    return done * count * _HORIZON / (time.perf_counter() - begun)


def throughput_figures(
    policy: Policy, lanes: Lanes[Any], start: Start, seconds: float
) -> dict[str, float]:
    """Throughput at 1, 16, 64 and 256 environments, and over Stable-Baselines3 on `Pusher-v5`.

    Args:
        policy: what is trained.
        lanes: the world model.
        start: one beginning (B = 1).
        seconds: for each figure.

    Returns:
        `train_steps_per_s` (64 environments), `train_steps_per_s_N`, and with the extra `sb3`
        installed `sb3_steps_per_s` and `train_over_sb3`.
    """
    figures = {
        f"train_steps_per_s_{count}": imagined_steps_per_s(policy, lanes, count, seconds, start)
        for count in (1, 16, 64, 256)
    }
    figures["train_steps_per_s"] = figures["train_steps_per_s_64"]
    try:
        figures["sb3_steps_per_s"] = pusher_steps_per_s(seconds)
    except MissingExtraError:
        return figures
    figures["train_over_sb3"] = figures["train_steps_per_s"] / figures["sb3_steps_per_s"]
    return figures
