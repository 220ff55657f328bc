"""Baselines for every learned agent: uniform noise, and a script that knows everything."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from agents.protocol import Act, Decision, Observation, Refuse, Stop
from envs.behaviours import push_action
from envs.push import PushWorld

__all__ = ["RandomAgent", "ScriptedPusher"]


class RandomAgent:
    """Uniform actions.

    Args:
        space: the action space to draw from.
        seed: of the draws.
    """

    def __init__(self, space: gym.spaces.Box, seed: int) -> None:
        self._low, self._high = space.low, space.high
        self._rng = np.random.default_rng(seed)

    def act(self, observation: Observation) -> Decision:
        """A uniform action, whatever is seen."""
        return Act(self._rng.uniform(self._low, self._high).astype(np.float32))


class ScriptedPusher:
    """Pushes the goal's object to its place, knowing where everything is.

    An upper baseline: it reads positions from the simulator, which no learned agent may.

    Args:
        world: the Push world it acts in.
    """

    def __init__(self, world: PushWorld) -> None:
        self._world = world

    def act(self, observation: Observation) -> Decision:
        """One step behind the object and through it."""
        if "state" not in observation.privileged:
            return Refuse(
                "A scripted agent needs the simulator's state; run it in worldmodel/Push-v0."
            )
        if observation.privileged["success"]:
            return Stop("The object is where it should be.")
        goal, state = self._world.goal, observation.privileged["state"]
        object_m = state["object_position_m"][self._world.slot_of(goal.colour)]
        place_m = self._world.place_m(goal)
        return Act(push_action(state["pusher_position_m"], object_m, place_m))
