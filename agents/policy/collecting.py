"""Recording in MuJoCo with whoever acts: datasets that grow by whole episodes up to a budget."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import mujoco
from gymnasium.spaces import Box

from envs.behaviours import Behaviour
from envs.episode_recorder import Recording, record_episode
from envs.mujoco_world import MujocoWorld
from multimodal.episode import Episode
from multimodal.errors import DatasetError
from multimodal.store import EpisodeStore, StoreSettings

__all__ = ["Acts", "Amount", "collected", "opened_store"]

_PORTION = 40
Acts = Callable[[MujocoWorld, int], Behaviour]
"""Makes who acts in an episode, of the world that was just reset and the episode's seed."""


@dataclass(frozen=True)
class Amount:
    """How much a dataset shall hold in all.

    Attributes:
        episodes: so many at most, or None.
        steps: so many at most, the last episode being cut off to fit, or None.
    """

    episodes: int | None = None
    steps: int | None = None

    def left(self, store: EpisodeStore) -> Amount:
        """What a dataset lacks."""
        have = sum(record.steps for record in store.records)
        return Amount(
            None if self.episodes is None else self.episodes - len(store),
            None if self.steps is None else self.steps - have,
        )

    @property
    def none(self) -> bool:
        """Whether that is nothing."""
        return any(limit is not None and limit <= 0 for limit in (self.episodes, self.steps))

    def less(self, steps: int) -> Amount:
        """What is left after an episode of so many steps."""
        return Amount(
            None if self.episodes is None else self.episodes - 1,
            None if self.steps is None else self.steps - steps,
        )


def opened_store(recording: Recording, folder: Path, description: str) -> EpisodeStore:
    """The dataset in a folder, begun where it is missing.

    Args:
        recording: what is recorded in it.
        folder: the dataset's.
        description: for who reads it.

    Raises:
        DatasetError: it holds something else, or is damaged, or actions are no box.
    """
    space = recording.make_world().action_space
    if not isinstance(space, Box):
        raise DatasetError(f"{recording.world} has no box of actions, but {space}.")
    settings = StoreSettings(
        action_space=space,
        env_spec=recording.env_spec(),
        description=description,
        metadata={"recording": asdict(recording), "mujoco_version": mujoco.__version__},
    )
    store = EpisodeStore.open_or_create(folder.parent, folder.name, settings)
    known = store.metadata.get("recording")
    if known is not None and json.loads(json.dumps(known)) != asdict(recording):
        raise DatasetError(
            f"{store.path} was recorded otherwise ({known}); choose another out=DIR, or "
            "resume=never."
        )
    return store


def collected(store: EpisodeStore, recording: Recording, amount: Amount, acts: Acts) -> int:
    """Record until a dataset holds so much; goes on where it was interrupted.

    Args:
        store: the dataset.
        recording: world, longest episode and first seed.
        amount: in all.
        acts: makes who acts, for each episode anew.

    Returns:
        Steps recorded by this call.
    """
    begun = sum(record.steps for record in store.records)
    # What an interrupted call left unfinished is made anew from its seeds.
    store.staging.clear()
    while not (left := amount.left(store)).none:
        store.append(_episodes(recording, len(store), left, acts))
    return sum(record.steps for record in store.records) - begun


def _episodes(recording: Recording, first: int, left: Amount, acts: Acts) -> Iterator[Episode]:
    """A portion of what is left, from episode `first` on."""
    # The process has one world of a kind, which stays open for all who record in it.
    world = recording.make_world()
    for seed in range(recording.seed + first, recording.seed + first + _PORTION):
        if left.none:
            return
        longest = recording.steps if left.steps is None else min(recording.steps, left.steps)
        made = record_episode(world, seed, longest, partial(_of_seed, acts, seed))
        left = left.less(len(made.actions))
        yield made


def _of_seed(acts: Acts, seed: int, world: MujocoWorld) -> Behaviour:
    return acts(world, seed)
