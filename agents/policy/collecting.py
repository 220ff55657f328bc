"""Recording with a policy in MuJoCo: episodes of where it goes, for the model to learn from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from agents.policy.policy import Policy
from envs.episode_recorder import Recording, record_episode
from envs.mujoco_world import MujocoWorld
from envs.push import PushWorld
from multimodal.episode import Episode
from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.store import EpisodeStore, StoreSettings
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["PolicyBehaviour", "collect", "recording_like"]

_PORTION = 20


def _given(behaviour: PolicyBehaviour, world: MujocoWorld) -> PolicyBehaviour:
    return behaviour


class PolicyBehaviour:
    """A policy as the one who acts while a dataset is recorded; it sees frames alone.

    Args:
        policy: who acts; its actions are drawn.
        seed: of the draws.
        wander: chance that a random action is held for some steps instead, so that the model also
            sees what lies beside the policy's way.
    """

    def __init__(self, policy: Policy, seed: int, wander: float = 0.1) -> None:
        self._policy, self._wander = policy, wander
        self._generator = torch.Generator(policy.low.device)
        self._generator.manual_seed(seed)
        self._rng = np.random.default_rng([seed, 2])
        self._held: list[NDArray[np.float32]] = []

    def act(self, world: PushWorld) -> NDArray[np.float32]:
        """The next action, float32 (A,)."""
        if self._held:
            return self._held.pop()
        low, high = world.action_space.low, world.action_space.high
        if self._rng.random() < self._wander / 5:
            self._held = [self._rng.uniform(low, high).astype(np.float32)] * 5
        frame, goal = world.render(), world.goal.vector()
        action: NDArray[np.float32] = (
            self._policy.act(frame[None], goal[None], self._generator)[0].cpu().numpy()
        )
        return action


def recording_like(pipeline: WorldModelPipeline, steps: int, seed: int) -> Recording:
    """Episodes of the world that a model was learned from."""
    options = json.dumps(pipeline.config.world_options, sort_keys=True)
    return Recording(str(pipeline.config.world), pipeline.frame_shape[0], options, steps, seed)


def collect(policy: Policy, recording: Recording, episodes: int, folder: Path) -> FlatEpisodes:
    """Record episodes with a policy; what an interrupted call recorded is kept.

    Args:
        policy: who acts.
        recording: the world, the longest episode and the first seed.
        episodes: how many in all.
        folder: the dataset's.

    Returns:
        The dataset.

    Raises:
        DatasetError: the folder holds other episodes.
    """
    world = recording.make_world()
    settings = StoreSettings(
        action_space=world.action_space,
        env_spec=recording.env_spec(),
        description=f"Episodes of {recording.world} by a policy that was trained in a world model.",
        metadata={"recording": asdict(recording)},
    )
    store = EpisodeStore.open_or_create(folder.parent, folder.name, settings)
    known = store.metadata.get("recording")
    if known is not None and json.loads(json.dumps(known)) != asdict(recording):
        raise DatasetError(
            f"{store.path} was recorded otherwise ({known}); choose another out=DIR, or "
            "resume=never."
        )
    store.staging.clear()

    def portion(first: int, last: int) -> Iterator[Episode]:
        for index in range(first, last):
            seed = recording.seed + index
            behaviour = PolicyBehaviour(policy, seed)
            yield record_episode(world, seed, recording.steps, partial(_given, behaviour))

    while len(store) < episodes:
        store.append(portion(len(store), min(episodes, len(store) + _PORTION)))
    store.commit()
    return FlatEpisodes.open(store)
