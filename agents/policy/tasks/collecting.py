"""Episodes of MuJoCo for a task: exploring at first, then by the policy that shall get better."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from agents.policy.tasks.playing import Actor
from envs.behaviours import Behaviour, SmoothRandom
from envs.episode_recorder import Recording, record_episode
from envs.mujoco_world import MujocoWorld
from multimodal.episode import Episode
from multimodal.errors import DatasetError
from multimodal.store import EpisodeStore, StoreSettings

__all__ = ["Acting", "Exploring", "collected", "opened_store"]

_PORTION = 40


class Exploring:
    """Random actions, in some episodes smooth and in others not, in some strong and in others weak.

    Smooth, strong actions reach far; a policy that does well moves little.

    Args:
        low: lower bound of the action space (A,).
        high: upper bound (A,).
        rng: source of randomness.
    """

    def __init__(
        self, low: NDArray[np.float32], high: NDArray[np.float32], rng: np.random.Generator
    ) -> None:
        self._middle = (low + high) / 2
        self._strength = float(rng.uniform(0.1, 1.0))
        self._walk = SmoothRandom(low, high, rng, float(rng.choice([0.0, 0.5, 0.85])))

    def act(self, world: Any) -> NDArray[np.float32]:
        """The next action."""
        wild = self._walk.act(world)
        return (self._middle + self._strength * (wild - self._middle)).astype(np.float32)


class Acting:
    """An actor as a recording behaviour: it sees what the world shows.

    Args:
        actor: who acts; for one episode.
    """

    def __init__(self, actor: Actor) -> None:
        self._actor, self._begun = actor, False

    def act(self, world: MujocoWorld) -> NDArray[np.float32]:
        """The next action."""
        frame = world.render()
        assert frame is not None
        info = {"state": world.named_state()}
        choose = self._actor.go_on if self._begun else self._actor.begin
        self._begun = True
        return choose(frame, info)


def opened_store(recording: Recording, root: Any, name: str) -> EpisodeStore:
    """The task's dataset, begun where it is missing.

    Raises:
        DatasetError: it holds something else, or is damaged.
    """
    settings = StoreSettings(
        action_space=recording.make_world().action_space,
        env_spec=recording.env_spec(),
        description=f"Episodes of {recording.world}, seen from a fixed camera, with state: random "
        "at first, then by policies trained on what came before.",
        metadata={"recording": asdict(recording), "mujoco_version": mujoco.__version__},
    )
    store = EpisodeStore.open_or_create(root, name, settings)
    known = store.metadata.get("recording")
    if known is not None and json.loads(json.dumps(known)) != asdict(recording):
        raise DatasetError(
            f"{store.path} was recorded otherwise ({known}); choose another out=DIR."
        )
    return store


def collected(
    store: EpisodeStore,
    recording: Recording,
    until: int,
    behaviour: Callable[[MujocoWorld, np.random.Generator], Behaviour],
) -> int:
    """Record until the dataset has so many steps; goes on where it was interrupted.

    Args:
        store: the dataset.
        recording: world, longest episode and first seed.
        until: steps in all.
        behaviour: makes who acts, for each episode anew.

    Returns:
        Steps recorded by this call.
    """
    world = recording.make_world()
    begun = sum(record.steps for record in store.records)
    if world.action_space.shape is None:
        raise DatasetError(f"{recording.world} has no box of actions.")

    def episodes(left: int) -> Iterator[Episode]:
        for index in range(len(store), len(store) + _PORTION):
            if left <= 0:
                return
            seed = recording.seed + index
            rng = np.random.default_rng([seed, 1])
            acts = _drawing_from(rng, behaviour)
            made = record_episode(world, seed, min(recording.steps, left), acts)
            left -= len(made.actions)
            yield made

    # What an interrupted call left unfinished is made anew from its seeds.
    store.staging.clear()
    while (have := sum(record.steps for record in store.records)) < until:
        store.append(episodes(until - have))
    return until - begun


def _drawing_from(
    rng: np.random.Generator, behaviour: Callable[[MujocoWorld, np.random.Generator], Behaviour]
) -> Callable[[MujocoWorld], Behaviour]:
    def made(world: MujocoWorld) -> Behaviour:
        return behaviour(world, rng)

    return made
