"""MuJoCo itself as a place to try actions out: what planning would be with a perfect model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.planning.bodies import Bodies, read_bodies
from envs.gap.probe import StateProbe
from envs.mujoco_world import MujocoWorld, WorldState

__all__ = ["SimulatedLanes", "SimulatedModel"]


@dataclass(frozen=True, eq=False)
class SimulatedLanes:
    """N saved states of a MuJoCo world."""

    states: tuple[WorldState, ...]


class SimulatedModel:
    """Imagines with a rendered MuJoCo world, lane after lane; the world is put back afterwards.

    It sees what a learned model sees, frames through the same probe, so that planning differs in
    nothing but whose future it is. Frames are drawn where they are read.

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
        return SimulatedLanes((self.world.save_state(),))

    def clone(self, state: SimulatedLanes, lanes: int) -> SimulatedLanes:
        """One lane, `lanes` times."""
        return SimulatedLanes(state.states * lanes)

    def step(self, state: SimulatedLanes, actions_NA: NDArray[np.float32]) -> SimulatedLanes:
        """Restore and step each lane."""
        states = []
        with self._put_back():
            for lane, action in zip(state.states, actions_NA, strict=True):
                self.world.restore_state(lane)
                self.world.advance(action)
                states.append(self.world.save_state())
        return SimulatedLanes(tuple(states))

    def read(self, state: SimulatedLanes) -> Bodies:
        """Draw and read N lanes."""
        frames = []
        with self._put_back():
            for lane in state.states:
                self.world.restore_state(lane)
                frames.append(self.world.render())
        return read_bodies(self.probe, np.stack(frames))

    @contextmanager
    def _put_back(self) -> Iterator[None]:
        present = self.world.save_state()
        try:
            yield
        finally:
            self.world.restore_state(present)
