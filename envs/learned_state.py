"""A learned environment at one instant, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multimodal.errors import ConfigError, StateError
from worldmodel.device import choose_compute
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.rollout_state import RolloutState

__all__ = ["Checkpoint", "LearnedState", "checked_rollout", "opened_pipeline"]

Checkpoint = str | Path | WorldModelPipeline


@dataclass(frozen=True)
class LearnedState:
    """N lanes of a learned environment; restoring it makes every later frame bit-equal.

    Attributes:
        rollout: what the model remembers, N lanes.
        steps: since the reset, for each lane.
        ended: whether the lane's episode is over.
        instructions: the goal in words, for each lane.
        random: state of each lane's generator, of which later resets are drawn.
    """

    rollout: RolloutState
    steps: tuple[int, ...]
    ended: tuple[bool, ...]
    instructions: tuple[str, ...]
    random: tuple[tuple[int, ...], ...]


def opened_pipeline(checkpoint: Checkpoint, device: str | None) -> WorldModelPipeline:
    """The pipeline of a shipped name, a folder, or itself, on the device asked for.

    Args:
        checkpoint: a name, a folder or a pipeline, which is shared, not copied.
        device: None is the device chosen for this process, or where a given pipeline is.

    Raises:
        CheckpointError: no such checkpoint, or a damaged one.
        ConfigError: not a checkpoint at all.
    """
    if isinstance(checkpoint, WorldModelPipeline):
        return checkpoint.to(device) if device else checkpoint
    if not isinstance(checkpoint, (str, Path)):
        raise ConfigError(f"checkpoint must be a name, a folder or a pipeline, got {checkpoint!r}.")
    pipeline = WorldModelPipeline.from_pretrained(checkpoint)
    return pipeline.to(device or choose_compute().device)


def checked_rollout(state: Any, pipeline: WorldModelPipeline, lanes: int) -> RolloutState:
    """A rollout state that fits the model, on the model's device.

    Raises:
        StateError: not a rollout state, of another model, or of another number of lanes.
    """
    if not isinstance(state, RolloutState):
        raise StateError(f"Expected a RolloutState, got {type(state).__name__}.")
    if state.batch_size != lanes:
        raise StateError(
            f"The state has {state.batch_size} lanes and this environment {lanes}. "
            "Take lanes out of it with select()."
        )
    fresh = pipeline.blank_state()
    wanted = {name: tuple(value.shape[1:]) for name, value in fresh.arrays().items()}
    given = {name: tuple(value.shape[1:]) for name, value in state.arrays().items()}
    if wanted != given:
        wrong = sorted(n for n in wanted.keys() | given.keys() if wanted.get(n) != given.get(n))
        raise StateError(f"The state belongs to another model: {', '.join(wrong)} differ in shape.")
    return state.to(pipeline.device)
