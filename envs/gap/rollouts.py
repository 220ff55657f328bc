"""What the model says happens, under the true actions and under wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from envs.gap.truth import Truth
from multimodal.errors import ActionError, FrameError
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["WRONG_ACTIONS", "check_pipeline", "learned_frames", "wrong_actions"]

WRONG_ACTIONS = ("shuffled", "random", "still")
"""Baselines that are rollouts of the same model: another episode's actions, uniformly random
actions, and no action."""

Actions = NDArray[np.float32]


def wrong_actions(kind: str, actions: Actions, space: gym.spaces.Box, seed: int) -> Actions:
    """Replace the true actions.

    Args:
        kind: one of `WRONG_ACTIONS`.
        actions: float32 (E, T, A), the true ones.
        space: the action space.
        seed: of the random actions.

    Raises:
        ActionError: an unknown kind, or one episode only, whose actions cannot be exchanged.
    """
    if kind == "shuffled":
        if len(actions) < 2:
            raise ActionError("Actions are shuffled between episodes: measure at least two.")
        return np.roll(actions, 1, axis=0)
    if kind == "random":
        drawn = np.random.default_rng(seed).uniform(space.low, space.high, actions.shape)
        return drawn.astype(np.float32)
    if kind == "still":
        nothing = np.clip(np.zeros(space.shape, np.float32), space.low, space.high)
        return np.broadcast_to(nothing, actions.shape).astype(np.float32)
    raise ActionError(f"There is no baseline {kind!r}; expected one of {', '.join(WRONG_ACTIONS)}.")


def check_pipeline(pipeline: WorldModelPipeline, truth: Truth) -> None:
    """Refuse a model that was trained for another world before an hour is spent on it.

    Raises:
        FrameError: the frames have another size than the model's.
        ActionError: the actions have another size than the model's.
    """
    frame = tuple(truth.past.shape[-3:])
    if frame != tuple(pipeline.frame_shape):
        raise FrameError(
            f"The model makes frames {tuple(pipeline.frame_shape)} and the world renders {frame}. "
            "Choose the world the model was trained on (world=, world.size_px=)."
        )
    if truth.actions.shape[-1] != pipeline.action_dim:
        raise ActionError(
            f"The model takes {pipeline.action_dim} action numbers and the world "
            f"{truth.actions.shape[-1]}. Choose the world the model was trained on (world=)."
        )


def learned_frames(
    pipeline: WorldModelPipeline,
    truth: Truth,
    actions: Actions,
    *,
    seed: int = 0,
    batch: int = 16,
    chunk: int = 25,
    advance: Callable[[int], None] | None = None,
) -> NDArray[np.uint8]:
    """Roll the model out from the truth's first frames.

    Args:
        pipeline: the learned world.
        truth: gives first frames and goals.
        actions: float32 (E, T, A).
        seed: of the model's own randomness.
        batch: episodes rolled out together.
        chunk: steps between two calls of `advance`.
        advance: called with the number of frames made since the last call.

    Returns:
        uint8 (E, T, H, W, 3), the frames after each action.
    """
    episodes, steps = actions.shape[:2]
    frames = np.empty((episodes, steps, *truth.past.shape[-3:]), np.uint8)
    # A world without goals, or with another kind of them, has none that this model understands.
    goals = truth.goals if truth.goals.shape[-1] == pipeline.goal_dim else None
    for first in range(0, episodes, batch):
        lanes = slice(first, min(first + batch, episodes))
        state: Any = pipeline.reset(
            torch.from_numpy(np.ascontiguousarray(truth.past[lanes])),
            _tensor(truth.past_actions[lanes]) if truth.context > 1 else None,
            goals=None if goals is None else _tensor(goals[lanes]),
            seed=seed + first,
        )
        for begin in range(0, steps, chunk):
            window = slice(begin, min(begin + chunk, steps))
            out = pipeline.rollout(state, _tensor(actions[lanes, window]))
            state = out.state
            frames[lanes, window] = out.frames.cpu().numpy()
            if advance is not None:
                advance(out.frames.shape[0] * out.frames.shape[1])
    return frames


def _tensor(array: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
