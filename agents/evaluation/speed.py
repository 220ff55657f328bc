"""Plans a second: the same 64 futures of 12 steps in the learned model and in rendered MuJoCo."""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np
from omegaconf import DictConfig, OmegaConf

from agents.assembly import Parts, make_planner
from agents.language.steps import Step
from agents.planning.cost import GoalCost
from agents.planning.learned import LearnedModel
from agents.planning.simulated import SimulatedModel
from agents.seeing import Eyes
from envs.mujoco_world import MujocoWorld

__all__ = ["CANDIDATES", "HORIZON", "plan_speeds"]

CANDIDATES = 64
HORIZON = 12
_REPEATS = 3


def plan_speeds(
    cfg: DictConfig, parts: Parts, world: gym.Env[Any, Any], seed: int
) -> dict[str, float]:
    """Time whole plans: proposals, rollouts, reading the frames, costs.

    The best of three counts: what else runs on the machine only ever slows a plan down. MuJoCo
    renders what is read, as the learned model does, and nothing in between.

    Args:
        cfg: the verb's configuration; candidates, horizon and iterations are fixed here.
        parts: models.
        world: a Push world.
        seed: of the scene.
    """
    base = world.unwrapped
    assert isinstance(base, MujocoWorld)
    assert parts.pipeline is not None
    frame, _ = world.reset(seed=seed)
    sighting = Eyes(parts.probe).look(frame)
    thing = sighting.objects[0]
    step = Step.model_validate(
        {
            "colour": thing.colour,
            "shape": thing.shape,
            "until": {"kind": "in_zone", "zone": sighting.zones[0].colour},
        }
    )
    cost = GoalCost(step.goal().colour, step.place(sighting), sighting.bodies)
    fixed = {"candidates": CANDIDATES, "horizon": HORIZON, "iterations": 1}
    planner = make_planner(OmegaConf.merge(cfg, {"planner": fixed}))
    learned = LearnedModel(parts.pipeline, parts.probe)
    learned.observe(frame, None)
    seconds: dict[str, float] = {}
    for name, model in (("learned", learned), ("rendered", SimulatedModel(base, parts.probe))):
        taken = []
        for _ in range(_REPEATS):
            begin = time.perf_counter()
            planner.plan(model, cost, None, 0)
            taken.append(time.perf_counter() - begin)
        seconds[name] = float(np.min(taken))
    return {
        "plans_per_s": 1 / seconds["learned"],
        "plans_per_s_rendered": 1 / seconds["rendered"],
        "plans_over_rendered": seconds["rendered"] / seconds["learned"],
    }
