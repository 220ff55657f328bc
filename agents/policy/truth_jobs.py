"""Trials in MuJoCo as jobs, each of which says all that it depends on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from agents.policy.actors import Actor
from agents.policy.field_of_policies import field_of
from agents.policy.policy import Policy
from agents.policy.trials import Outcomes, Trial, play_mujoco
from envs.mujoco_world import MujocoWorld
from envs.twin import simulator_of
from worldmodel.device import choose_compute
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["Stage", "TruthJob", "forget", "play"]


@dataclass(frozen=True)
class Stage:
    """What all jobs of an evaluation share.

    Attributes:
        checkpoint: the world model that policies see with.
        policy: the one to be judged.
        from_run: the run it comes from, or None.
        steps: most steps of an episode.
        options: keyword arguments of the MuJoCo world as JSON.
    """

    checkpoint: str
    policy: str
    from_run: str | None
    steps: int
    options: str


@dataclass(frozen=True)
class TruthJob:
    """One actor's trials of one seed.

    Attributes:
        stage: shared with the other jobs.
        actor: its name in the field.
        seed: of the actor's randomness.
        trials: the starts.
    """

    stage: Stage
    actor: str
    seed: int
    trials: tuple[Trial, ...]


def play(job: TruthJob) -> Outcomes:
    """Play a job's trials in MuJoCo.

    Raises:
        CheckpointError: a policy or model is missing, damaged, or they do not fit together.
    """
    policy, field, world = _opened(job.stage, os.getpid())
    return play_mujoco(field[job.actor], policy, world, job.trials, job.stage.steps, job.seed)


def forget() -> None:
    """Open models anew next time: by then others may lie in the same folders."""
    _opened.cache_clear()


@lru_cache(maxsize=1)
def _opened(stage: Stage, process: int) -> tuple[Policy, Mapping[str, Actor], MujocoWorld]:
    """Models and simulator, opened once in a process."""
    pipeline = WorldModelPipeline.from_pretrained(stage.checkpoint)
    pipeline.to(choose_compute().device)
    policy = Policy.from_pretrained(stage.policy, pipeline).to(pipeline.device)
    source = Path(stage.from_run) if stage.from_run else None
    world = simulator_of(pipeline, json.loads(stage.options))
    return policy, field_of(policy, source, pipeline), world
