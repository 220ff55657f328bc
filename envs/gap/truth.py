"""What really happens: MuJoCo on held-out episodes, and a twin from an almost equal start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.adapter import make_world
from envs.behaviours import make_behaviour
from envs.mujoco_world import MujocoWorld
from envs.recording import seeds_of
from multimodal.errors import ConfigError

__all__ = ["Rollout", "Truth", "held_out_seeds", "open_endless", "perturb", "record_truth"]

State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Rollout:
    """One MuJoCo video per episode, with the state behind every frame.

    Attributes:
        frames: uint8 (E, S, H, W, 3).
        state: named arrays (E, S, ...).
    """

    frames: NDArray[np.uint8]
    state: State


@dataclass(frozen=True)
class Truth:
    """Held-out episodes, each as it happened and as it happened to a twin.

    The first `context` frames are given to the model; frame `context - 1` is step 0.

    Attributes:
        seeds: of the episodes.
        context: C, frames given.
        past: uint8 (E, C, H, W, 3), the frames given.
        past_actions: float32 (E, C-1, A), between them.
        actions: float32 (E, T, A), from step 0 on.
        goals: float32 (E, G).
        real: frames and state of steps 0..T.
        twin: the same actions from a perturbed step 0, steps 0..T.
    """

    seeds: tuple[int, ...]
    context: int
    past: NDArray[np.uint8]
    past_actions: NDArray[np.float32]
    actions: NDArray[np.float32]
    goals: NDArray[np.float32]
    real: Rollout
    twin: Rollout


def held_out_seeds(episodes: int, start: int = 0) -> list[int]:
    """Seeds of the test split, which no recording for training uses.

    Raises:
        ConfigError: fewer than one episode is asked for.
    """
    if episodes < 1:
        raise ConfigError(f"episodes must be at least 1, got {episodes}.")
    return seeds_of("test", episodes, start)


def open_endless(world_id: str, size_px: int, options: Mapping[str, Any]) -> MujocoWorld:
    """Make a world that goes on past success and time limits, as long as it is stepped.

    Args:
        world_id: Gymnasium id of a MuJoCo world.
        size_px: side of the frame.
        options: the world's keyword arguments.

    Raises:
        ConfigError: there is no such world.
    """
    endless: dict[str, Any] = {**options, "max_steps": 0}
    if world_id.startswith("worldmodel/Push-"):
        endless["terminate_on_success"] = False
    return make_world(world_id, size_px, **endless)


def perturb(world: MujocoWorld, spread: float, rng: np.random.Generator) -> None:
    """Shift every degree of freedom of a world by Gaussian noise, in metres or radians.

    Args:
        world: changed in place.
        spread: standard deviation.
        rng: source of the noise.
    """
    noise = rng.normal(scale=spread, size=world.model.nv)
    mujoco.mj_integratePos(world.model, world.data.qpos, noise, 1.0)
    # Through save and restore the world recomputes whatever it derives from the state.
    world.restore_state(world.save_state())


def record_truth(
    world: MujocoWorld,
    seeds: Sequence[int],
    steps: int,
    *,
    context: int = 1,
    perturbation: float = 1e-4,
    advance: Callable[[int], None] | None = None,
) -> Truth:
    """Act with the recording behaviour, then repeat the same actions from a perturbed start.

    Args:
        world: unwrapped; made so that it neither terminates nor truncates before the end.
        seeds: one per episode, as the recorder would use them.
        steps: T after step 0.
        context: C, frames before and with step 0.
        perturbation: spread of the twin's start in metres or radians.
        advance: called with the number of simulated steps since the last call.

    Raises:
        ConfigError: fewer than one step or context frame.
    """
    if steps < 1 or context < 1:
        raise ConfigError(
            f"horizon and context must be at least 1, got {steps} steps and {context} frames."
        )
    report = advance or (lambda count: None)
    shape = (world.size_px, world.size_px, 3)
    video = np.empty((len(seeds), context + steps, *shape), np.uint8)
    twin_video = np.empty((len(seeds), 1 + steps, *shape), np.uint8)
    recorded = []
    for index, seed in enumerate(seeds):
        recorded.append(
            _episode(world, seed, context, perturbation, video[index], twin_video[index])
        )
        report(2 * steps)
    actions, states, goals, twin_states = zip(*recorded, strict=True)
    start = context - 1
    acted = np.stack(actions)
    state = _stack(states)
    return Truth(
        seeds=tuple(seeds),
        context=context,
        past=video[:, :context],
        past_actions=acted[:, :start],
        actions=acted[:, start:],
        goals=np.stack(goals),
        real=Rollout(video[:, start:], {name: value[:, start:] for name, value in state.items()}),
        twin=Rollout(twin_video, _stack(twin_states)),
    )


def _episode(
    world: MujocoWorld,
    seed: int,
    context: int,
    perturbation: float,
    frames: NDArray[np.uint8],
    twin_frames: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], State, NDArray[np.float32], State]:
    """Fill in an episode's frames and its twin's; return actions, states, goal, twin's states."""
    frames[0], info = world.reset(seed=seed)
    behaviour = make_behaviour(world, np.random.default_rng([seed, 1]))
    start = world.save_state()
    infos, actions = [info], []
    for step in range(len(frames) - 1):
        if step == context - 1:
            start = world.save_state()
        actions.append(np.asarray(behaviour.act(world), np.float32))
        frames[step + 1], _, _, _, info = world.step(actions[-1])
        infos.append(info)
    world.restore_state(start)
    perturb(world, perturbation, np.random.default_rng([seed, 2]))
    twin_state = _repeat(world, actions[context - 1 :], twin_frames)
    goal = np.asarray(info["goal"], np.float32)
    return np.stack(actions), _stack([entry["state"] for entry in infos]), goal, twin_state


def _repeat(
    world: MujocoWorld, actions: Sequence[NDArray[np.float32]], frames: NDArray[np.uint8]
) -> State:
    """Fill the frames that actions lead to from the present state; return the states."""
    frames[0] = world.render()
    states = [world.named_state()]
    for step, action in enumerate(actions):
        frames[step + 1], _, _, _, info = world.step(action)
        states.append(info["state"])
    return _stack(states)


def _stack(states: Sequence[State]) -> State:
    return {name: np.stack([state[name] for state in states]) for name in states[0]}
