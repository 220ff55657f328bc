"""Arms of the comparison: who acts in the same scenes on the same instructions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from agents.acting.episode import carry_out
from agents.acting.judge import Judge
from agents.assembly import Parts
from agents.evaluation.tasks import Task
from agents.protocol import Agent, Decision, Observation, Stop
from agents.scripted import RandomAgent, ScriptedPusher
from envs.push import PushWorld
from multimodal.language.vocabulary import COLOURS

__all__ = ["ARMS", "Episode", "run_task"]

ARMS: Final = ("typed", "mujoco", "unimagined", "scripted", "random")
# What moved less was not pushed.
_LEAST_M: Final = 0.01
_IMAGINE: Final = {"typed": "learned", "mujoco": "mujoco", "unimagined": "none"}


@dataclass(frozen=True)
class Episode:
    """How one task went, in numbers and words.

    Attributes:
        arm: who acted.
        scene: seed of the scene.
        seed: of the planner.
        text: the instruction.
        status: how it ended.
        success: whether the simulator says that all steps came true, in their order.
        ticks: actions taken.
        pushed: colour of the object that moved furthest, "" when none moved a centimetre.
        others_m: furthest that an object was moved which the task does not name.
        plan_ms: mean time of a plan, 0 without plans.
        plans: how many.
    """

    arm: str
    scene: int
    seed: int
    text: str
    status: str
    success: bool
    ticks: int
    pushed: str
    others_m: float
    plan_ms: float
    plans: int

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def run_task(
    cfg: DictConfig,
    parts: Parts,
    world: gym.Env[Any, Any],
    task: Task,
    arm: str,
    seed: int,
) -> tuple[Episode, NDArray[np.uint8]]:
    """Let one arm try one task.

    Args:
        cfg: the verb's configuration.
        parts: models.
        world: a Push world.
        task: a scene and an instruction.
        arm: one of `ARMS`.
        seed: of the planner, or of the random actions.

    Returns:
        The figures and the frames, uint8 (T, H, W, 3).
    """
    base = world.unwrapped
    assert isinstance(base, PushWorld)
    start = world.reset(seed=task.seed)
    before = base.named_state()
    agent = _agent(cfg, parts, world, task, arm, seed)
    outcome = carry_out(
        world, agent, task.text, start, max_ticks=task.max_ticks, judge=Judge(world, task.steps)
    )
    plans = outcome.timing_ms.get("plan", [])
    moved_m = _moved_m(before, base.named_state())
    episode = Episode(
        arm=arm,
        scene=task.seed,
        seed=seed,
        text=task.text,
        status=outcome.status,
        success=bool(outcome.success),
        ticks=outcome.ticks,
        pushed=_furthest(moved_m),
        others_m=round(_others_m(moved_m, task), 4),
        plan_ms=round(float(np.mean(plans)), 2) if plans else 0.0,
        plans=len(plans),
    )
    return episode, outcome.frames


def _agent(
    cfg: DictConfig, parts: Parts, world: gym.Env[Any, Any], task: Task, arm: str, seed: int
) -> Agent:
    if arm in _IMAGINE:
        return parts.agent(cfg, world, _IMAGINE[arm], seed)
    if arm == "random":
        space = world.action_space
        assert isinstance(space, gym.spaces.Box)
        return RandomAgent(space, seed)
    return _ScriptedSteps(world, task)


class _ScriptedSteps:
    """The script that knows everything, step after step: an upper baseline."""

    def __init__(self, world: gym.Env[Any, Any], task: Task) -> None:
        base = world.unwrapped
        assert isinstance(base, PushWorld)
        self._world, self._steps, self._number = base, task.steps, 0

    def act(self, observation: Observation) -> Decision:
        """The script's action for the first step that was not done yet."""
        while self._number < len(self._steps):
            goal = self._steps[self._number].goal()
            position = self._world.named_state()["object_position_m"][
                self._world.slot_of(goal.colour)
            ]
            self._world.goal = goal
            if goal.reached(goal.distance_m(position, self._world.place_m(goal))):
                self._number += 1
                continue
            known = dict(observation.privileged) | {"success": False}
            return ScriptedPusher(self._world).act(
                Observation(observation.frame, observation.instruction, observation.step, known)
            )
        return Stop("Done.")


def _moved_m(before: dict[str, NDArray[Any]], after: dict[str, NDArray[Any]]) -> dict[str, float]:
    """How far the object of each colour was moved."""
    way_m = np.linalg.norm(after["object_position_m"] - before["object_position_m"], axis=-1)
    slots = np.flatnonzero(before["object_present"])
    return {COLOURS[before["object_colour"][slot]]: float(way_m[slot]) for slot in slots}


def _furthest(moved_m: dict[str, float]) -> str:
    colour = max(moved_m, key=lambda each: moved_m[each])
    return colour if moved_m[colour] > _LEAST_M else ""


def _others_m(moved_m: dict[str, float], task: Task) -> float:
    named = {step.colour for step in task.steps}
    return max((way for colour, way in moved_m.items() if colour not in named), default=0.0)
