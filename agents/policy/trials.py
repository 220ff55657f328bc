"""The same starts, played by the same actor in MuJoCo and in the world model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.policy.actors import Actor
from agents.policy.lanes import Lanes
from agents.policy.policy import Policy
from agents.policy.starts import Start
from agents.policy.view import View
from envs.mujoco_world import MujocoWorld

__all__ = ["Outcomes", "Trial", "play_model", "play_mujoco", "unsolved_starts"]


@dataclass(frozen=True)
class Trial:
    """One start: a seed of the world, what it shows, and what is wanted."""

    seed: int
    frame: NDArray[np.uint8]
    goal: NDArray[np.float32]


@dataclass(frozen=True)
class Outcomes:
    """How E trials went.

    Attributes:
        success: whether the goal was reached within the time, bool (E,).
        gain: return minus that of standing still at the start, (E,); an episode ends at success.
        steps: steps taken, int64 (E,).
    """

    success: NDArray[np.bool_]
    gain: NDArray[np.float64]
    steps: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Several, one after the other."""
        names = ("success", "gain", "steps")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def unsolved_starts(world: MujocoWorld, seeds: Sequence[int]) -> list[Trial]:
    """The starts of these seeds, without those where nothing is left to do."""
    trials = []
    for seed in seeds:
        frame, info = world.reset(seed=int(seed))
        if not info.get("success", False):
            trials.append(Trial(int(seed), frame, np.asarray(info["goal"], np.float32)))
    return trials


@torch.no_grad()
def play_mujoco(
    actor: Actor,
    policy: Policy,
    world: MujocoWorld,
    trials: Sequence[Trial],
    steps: int,
    seed: int = 0,
) -> Outcomes:
    """Play every trial in MuJoCo; success and reward are the simulator's own.

    Args:
        actor: who acts.
        policy: through whose eyes the actor sees.
        world: the MuJoCo world; an episode ends at success even where it would go on.
        trials: the starts.
        steps: most steps of an episode.
        seed: of the actor's randomness.
    """
    rows = []
    device = policy.low.device
    for trial in trials:
        frame, _ = world.reset(seed=trial.seed)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + trial.seed)
        aims = policy.view.aims(torch.from_numpy(trial.goal)[None].to(device))
        still = _still_reward(world)
        total, done, step = 0.0, False, 0
        while step < steps and not done:
            # Whoever is blind only asks how many lanes there are.
            seen = aims if actor.blind else policy.see(frame[None])
            action = actor(seen, aims, generator)[0].cpu().numpy()
            frame, reward, terminated, _, info = world.step(action)
            done = bool(terminated or info.get("success", False))
            total += float(reward)
            step += 1
        rows.append((done, total - steps * still, step))
    return _outcomes(rows)


def _still_reward(world: MujocoWorld) -> float:
    """The reward of a step that changes nothing, from where the world is now."""
    reward, _, _ = world._outcome()
    return reward


@torch.no_grad()
def play_model(
    actor: Actor, view: View, lanes: Lanes[Any], trials: Sequence[Trial], steps: int, seed: int = 0
) -> Outcomes:
    """Play every trial in the world model, all at once; success and reward are what is seen there.

    Args:
        actor: who acts.
        view: turns what is seen into reward and success.
        lanes: the world model.
        trials: the starts.
        steps: most steps of an episode.
        seed: of the actor's randomness.
    """
    frames = torch.from_numpy(np.stack([trial.frame for trial in trials]))[:, None]
    goals = torch.from_numpy(np.stack([trial.goal for trial in trials]))
    state = lanes.begin(Start(frames, goals), seed)
    aims = view.aims(goals.to(lanes.device))
    generator = torch.Generator().manual_seed(seed)
    seen = lanes.seen(state)
    still, _ = view.outcome(seen, aims, aims)
    total = torch.zeros(len(trials))
    done = torch.zeros(len(trials), dtype=torch.bool)
    count = torch.zeros(len(trials), dtype=torch.long)
    for _ in range(steps):
        actions = actor(seen, aims, generator)
        state = lanes.advance(state, actions)
        seen = lanes.seen(state)
        reward, end = view.outcome(seen, aims, actions)
        total += reward.cpu() * ~done
        count += ~done
        done |= end.cpu()
        if bool(done.all()):
            break
    gain = total - steps * still.cpu()
    return _outcomes(list(zip(done.tolist(), gain.tolist(), count.tolist(), strict=True)))


def _outcomes(rows: Sequence[tuple[Any, ...]]) -> Outcomes:
    success, gain, steps = zip(*rows, strict=True)
    return Outcomes(np.array(success, bool), np.array(gain, float), np.array(steps, np.int64))
