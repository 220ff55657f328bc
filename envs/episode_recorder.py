"""How one episode of a MuJoCo world is recorded, everything in it following from its seed."""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from envs.adapter import make_world
from envs.behaviours import Behaviour, make_behaviour
from envs.mujoco_world import Info, MujocoWorld
from multimodal.episode import Episode
from multimodal.splits import split_of

__all__ = ["Recording", "record_episode"]


@dataclass(frozen=True)
class Recording:
    """What is recorded; together with an episode's index it decides the episode.

    Attributes:
        world: Gymnasium id of the world.
        size_px: side of a frame.
        options: further arguments of the world, as JSON.
        steps: longest episode.
        seed: seed of episode 0; episode i has `seed + i`.
    """

    world: str
    size_px: int
    options: str
    steps: int
    seed: int

    @classmethod
    def of(cls, cfg: DictConfig) -> "Recording":
        """Take from the configuration of `record` what decides the episodes."""
        options = OmegaConf.to_container(cfg.world.options, resolve=True)
        return cls(
            world=cfg.world.id,
            size_px=cfg.world.size_px,
            options=json.dumps(options, sort_keys=True),
            steps=cfg.steps,
            seed=cfg.seed,
        )

    def make_world(self) -> MujocoWorld:
        """The world, made once in each process for all recordings of it, whatever their seeds.

        Raises:
            ConfigError: the id or an option is unknown.
        """
        return _world(self.world, self.size_px, self.options)

    def env_spec(self) -> EnvSpec:
        """From which `gymnasium.make` makes the same world again."""
        ours = self.world.startswith("worldmodel/")
        spec = copy.deepcopy(gymnasium.spec(self.world if ours else "worldmodel/Mujoco-v0"))
        spec.kwargs |= {"size_px": self.size_px, **json.loads(self.options)}
        if not ours:
            spec.kwargs["env_id"] = self.world
        return spec

    def record(self, index: int) -> Episode:
        """Record episode `index`."""
        return record_episode(self.make_world(), self.seed + index, self.steps)


@cache
def _world(world_id: str, size_px: int, options: str) -> MujocoWorld:
    return make_world(world_id, size_px, **json.loads(options))


def record_episode(
    world: gymnasium.Env[Any, Any],
    seed: int,
    steps: int,
    behaviour_of: Callable[[MujocoWorld], Behaviour] | None = None,
) -> Episode:
    """Record one episode under the world's recording behaviour, or under one that is given.

    Args:
        world: a MuJoCo world of ours, wrapped or not.
        seed: decides the scene, the goal and the actions.
        steps: the episode is cut off (truncated) after so many.
        behaviour_of: makes who acts, of the world that was just reset; None takes the world's own.

    Returns:
        The episode; its state also holds "contact" bool (T+1,), whether the actuated part touches
        an object.
    """
    inner = cast(MujocoWorld, world.unwrapped)
    frame, info = world.reset(seed=seed)
    captions = tuple(inner.captions())
    # A stream of its own: the same seed also draws the scene.
    rng = np.random.default_rng([seed, 1])
    behaviour = make_behaviour(inner, rng) if behaviour_of is None else behaviour_of(inner)
    frames, infos = [frame], [info]
    actions: list[NDArray[np.float32]] = []
    outcomes: list[tuple[float, bool, bool]] = []
    ended = False
    while not ended and len(actions) < steps:
        actions.append(np.asarray(behaviour.act(inner), np.float32))
        frame, reward, terminated, truncated, info = world.step(actions[-1])
        frames.append(frame)
        infos.append(info)
        outcomes.append((float(reward), terminated, truncated))
        ended = terminated or truncated
    rewards, terminations, truncations = (
        np.array(column) for column in zip(*outcomes, strict=True)
    )
    truncations[-1] |= not ended
    return Episode(
        frames=np.stack(frames),
        actions=np.stack(actions),
        rewards=rewards.astype(np.float32),
        terminations=terminations,
        truncations=truncations,
        state=_stacked_state(infos),
        goal=np.asarray(infos[0]["goal"], np.float32),
        success=np.array([item["success"] for item in infos], np.bool_),
        instruction=str(infos[0]["instruction"]),
        captions=captions,
        seed=seed,
        split=split_of(seed),
    )


def _stacked_state(infos: Sequence[Info]) -> dict[str, NDArray[Any]]:
    """Named state with one row per frame, and whether something was touched."""
    state = {name: np.stack([info["state"][name] for info in infos]) for name in infos[0]["state"]}
    return state | {"contact": np.array([info["contact"] for info in infos], np.bool_)}
