"""The gap where a policy goes: its way through MuJoCo, and the model under the same actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.policy.lanes import Lanes
from agents.policy.policy import Policy
from agents.policy.sight import Sight
from agents.policy.sight_objective import true_sight
from agents.policy.starts import Start
from agents.policy.trials import Trial
from envs.mujoco_world import MujocoWorld

__all__ = ["Gaps", "Way", "gaps_of", "ways_of"]


@dataclass(frozen=True)
class Way:
    """One episode of a policy in MuJoCo.

    Attributes:
        trial: where it began and what was wanted.
        actions: float32 (T, A).
        sights: what was truly to be seen after each of them, as vectors (T, S).
        success: whether the goal was reached.
    """

    trial: Trial
    actions: NDArray[np.float32]
    sights: Tensor
    success: bool


class Gaps(NamedTuple):
    """How far model and MuJoCo part along each of E ways.

    Attributes:
        total_m: metres, summed up over steps, float64 (E,).
        steps: that counted, int64 (E,).
    """

    total_m: NDArray[np.float64]
    steps: NDArray[np.int64]


@torch.no_grad()
def ways_of(policy: Policy, world: MujocoWorld, trials: Sequence[Trial], steps: int) -> list[Way]:
    """Let a policy play trials in MuJoCo, taking the likeliest actions, until success."""
    ways = []
    for trial in trials:
        frame, info = world.reset(seed=trial.seed)
        actions: list[NDArray[np.float32]] = []
        states: list[Mapping[str, NDArray[Any]]] = []
        success = False
        while not success and len(actions) < steps:
            action = policy.act(frame[None], trial.goal[None])[0].cpu().numpy()
            frame, _, _, _, info = world.step(action)
            actions.append(action)
            states.append(info["state"])
            success = bool(info["success"])
        stacked = {name: np.stack([state[name] for state in states]) for name in states[0]}
        ways.append(Way(trial, np.stack(actions), true_sight(stacked).vector(), success))
    return ways


@torch.no_grad()
def gaps_of(lanes: Lanes[Any], ways: Sequence[Way], horizon: int = 32) -> Gaps:
    """How far from where they truly are the model has objects, along the ways of a policy.

    Args:
        lanes: the model; it begins at the first frame and is told the actions alone.
        ways: from `ways_of`.
        horizon: steps that count, at most.

    Returns:
        Of the object that is wanted somewhere, for each way.
    """
    frames = torch.from_numpy(np.stack([way.trial.frame for way in ways]))[:, None]
    goals = torch.from_numpy(np.stack([way.trial.goal for way in ways]))
    state = lanes.begin(Start(frames, goals))
    chosen = goals[:, : Sight.from_vector(ways[0].sights[:1]).objects_m.shape[1]].argmax(1)
    rows = torch.arange(len(ways))
    total = torch.zeros(len(ways), dtype=torch.float64)
    steps = torch.tensor([min(horizon, len(way.actions)) for way in ways])
    for step in range(int(steps.max())):
        last = [min(step, len(way.actions) - 1) for way in ways]
        actions = torch.from_numpy(
            np.stack([way.actions[number] for way, number in zip(ways, last, strict=True)])
        )
        state = lanes.advance(state, actions.to(lanes.device))
        seen = Sight.from_vector(lanes.seen(state).cpu()).objects_m[rows, chosen]
        truth = torch.stack([way.sights[number] for way, number in zip(ways, last, strict=True)])
        gap = (seen - Sight.from_vector(truth).objects_m[rows, chosen]).norm(dim=-1)
        total += torch.where(step < steps, gap, 0.0)
    return Gaps(total.numpy(), steps.numpy())
