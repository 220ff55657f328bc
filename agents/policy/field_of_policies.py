"""Policies of varied quality, so that their ranking says something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from agents.policy.actors import (
    Actor,
    LearnedActor,
    NoisyActor,
    RandomActor,
    ScriptedActor,
    StillActor,
)
from agents.policy.policy import Policy
from multimodal.errors import ConfigError
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["TRAINED", "chosen", "field_of"]

TRAINED = "trained"
CLONED = "cloned"


def field_of(policy: Policy, run: Path | None, pipeline: WorldModelPipeline) -> Mapping[str, Actor]:
    """The policy to judge and others around it, by name; all see through the same eyes.

    Args:
        policy: the policy to judge.
        run: the run it comes from, whose clone and earlier policies join; or None.
        pipeline: the world model that they see with.

    Raises:
        CheckpointError: a policy of the run is damaged.
    """
    random = RandomActor(policy.low, policy.high)
    script = ScriptedActor()
    trained = LearnedActor(policy)
    field: dict[str, Actor] = {TRAINED: trained}
    if run is not None and (run / "clone").is_dir():
        field[CLONED] = LearnedActor(_opened(run / "clone", pipeline))
    field |= {
        "scripted": script,
        "trained, sampled": LearnedActor(policy, sampled=True),
        "random": random,
        "still": StillActor(policy.low, policy.high),
    }
    for share in (0.3, 0.6, 0.85):
        field[f"scripted, {share:.0%} random"] = NoisyActor(script, random, share)
    for share in (0.3, 0.6, 0.85):
        field[f"trained, {share:.0%} random"] = NoisyActor(trained, random, share)
    if run is not None:
        for folder in sorted((run / "imagination").glob("kept-*")):
            name = f"after {int(folder.name.rpartition('-')[2])} rounds"
            field[name] = LearnedActor(_opened(folder, pipeline))
    return field


def chosen(field: Mapping[str, Actor], names: Sequence[str]) -> Mapping[str, Actor]:
    """Some of a field, and the policy to judge in any case; all of it where none is named.

    Raises:
        ConfigError: nobody has such a name.
    """
    unknown = sorted(set(names) - field.keys())
    if unknown:
        raise ConfigError(f"only={unknown}: nobody has such a name. There are {', '.join(field)}.")
    if not names:
        return field
    return {name: actor for name, actor in field.items() if name == TRAINED or name in names}


def _opened(folder: Path, pipeline: WorldModelPipeline) -> Policy:
    return Policy.from_pretrained(folder, pipeline).to(pipeline.device)
