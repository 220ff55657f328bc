"""What imagination has to beat: SAC of Stable-Baselines3, trained in MuJoCo itself, from state.

It sees the environment's own observation, positions and velocities without error, where the policy
of imagination sees pixels; both may step the simulator equally often.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from agents.policy.tasks.playing import Actor, Starts, returns_of
from envs.mujoco_world import MujocoWorld
from multimodal.atomic import atomic_write_bytes
from multimodal.errors import MissingExtraError

__all__ = ["Budget", "Rival", "rival_figures"]


@dataclass(frozen=True)
class Budget:
    """How long SAC may learn.

    Attributes:
        steps: in the simulator.
        seed: of everything.
    """

    steps: int
    seed: int


class Rival(Actor):
    """A trained SAC as an actor on the environment's own observation.

    Args:
        model: Stable-Baselines3's.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def begin(self, frame: NDArray[np.uint8], info: Mapping[str, Any]) -> NDArray[np.float32]:
        """The first action."""
        action, _ = self._model.predict(
            np.asarray(info["state"]["observation"]), deterministic=True
        )
        return np.asarray(action, np.float32)

    def go_on(self, frame: NDArray[np.uint8], info: Mapping[str, Any]) -> NDArray[np.float32]:
        """The next action."""
        return self.begin(frame, info)


def rival_figures(
    env_id: str,
    options: Mapping[str, Any],
    training: Budget,
    world: MujocoWorld,
    starts: Starts,
    path: Path,
) -> dict[str, Any]:
    """Train SAC with its default settings and play from the starts; kept, and not done twice.

    Args:
        env_id: Gymnasium id.
        options: keyword arguments of the environment.
        training: how many steps, and the seed of everything.
        world: where it plays.
        starts: what it plays.
        path: a JSON file for the results.

    Returns:
        "returns" of the episodes and "seconds" of training.

    Raises:
        MissingExtraError: Stable-Baselines3 is not installed.
    """
    told = {"env_id": env_id, "options": dict(options), "training": asdict(training)}
    # As JSON has it, without tuples; two "steps" are not to be mixed up.
    asked = json.loads(json.dumps(told | {"starts": asdict(starts)}))
    known: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if known.get("asked") == asked:
        return known
    try:
        from stable_baselines3 import SAC
    except ImportError as error:
        raise MissingExtraError(
            "The comparison with SAC needs stable-baselines3: `pip install 'worldmodel[sb3]'`. "
            "experiment.rival=false leaves it out."
        ) from error
    env = gym.make(env_id, **options)
    try:
        Console().print(f"training SAC in {env_id} for {training.steps} steps", highlight=False)
        begun = time.perf_counter()
        model = SAC("MlpPolicy", env, seed=training.seed, device="cpu")
        model.learn(training.steps)
        seconds = time.perf_counter() - begun
    finally:
        env.close()
    returns = returns_of(Rival(model), world, starts.seeds, starts.steps)
    found = {"asked": asked, "returns": returns.tolist(), "seconds": seconds}
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(path, (json.dumps(found, indent=2) + "\n").encode())
    return found
