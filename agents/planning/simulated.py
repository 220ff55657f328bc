"""MuJoCo itself as a place to try actions out: what planning would be with a perfect model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.planning.bodies import Bodies, read_bodies
from envs.gap.probe import StateProbe
from envs.mujoco_world import MujocoWorld, WorldState

__all__ = ["SimulatedLanes", "SimulatedModel"]


@dataclass(frozen=True, eq=False)
class SimulatedLanes:
    """N saved states of a MuJoCo world and the frames seen there, uint8 (N, H, W, 3)."""

    states: tuple[WorldState, ...]
    frames: NDArray[np.uint8]


class SimulatedModel:
    """Imagines with a rendered MuJoCo world, lane after lane; the world is put back afterwards.

    It sees what a learned model sees, frames through the same probe, so that planning differs in
    nothing but whose future it is.

    Args:
        world: the world to plan in; it is restored after each step.
        probe: reads positions off the frames.
    """

    def __init__(self, world: MujocoWorld, probe: StateProbe) -> None:
        self.world = world
        self.probe = probe

    def observe(self, frame: NDArray[np.uint8], action: NDArray[np.float32] | None) -> None:
        """Nothing to take in: the simulator knows its state."""

    def reset(self) -> SimulatedLanes:
        """The present of the world, one lane."""
        return SimulatedLanes((self.world.save_state(),), self.world.render()[None])

    def clone(self, state: SimulatedLanes, lanes: int) -> SimulatedLanes:
        """One lane, `lanes` times."""
        return SimulatedLanes(state.states * lanes, np.repeat(state.frames, lanes, axis=0))

    def step(self, state: SimulatedLanes, actions_NA: NDArray[np.float32]) -> SimulatedLanes:
        """Restore, step and render each lane."""
        present = self.world.save_state()
        states, frames = [], []
        try:
            for lane, action in zip(state.states, actions_NA, strict=True):
                self.world.restore_state(lane)
                frames.append(self.world.step(action)[0])
                states.append(self.world.save_state())
        finally:
            self.world.restore_state(present)
        return SimulatedLanes(tuple(states), np.stack(frames))

    def read(self, state: SimulatedLanes) -> Bodies:
        """Read the frames of N lanes."""
        return read_bodies(self.probe, state.frames)
