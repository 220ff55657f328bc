"""Where a learned rollout begins: a MuJoCo reset, recorded frames, or the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import ActionError, ConfigError, FrameError, RenderingError
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.rollout_state import RolloutState

__all__ = [
    "FrameStarts",
    "Start",
    "Starts",
    "WorldStarts",
    "begin",
    "frames_per_s",
    "refuse_beside_state",
    "starts_of",
    "user_start",
]

# The noise of lane i is drawn from its start's seed, which the pipeline multiplies in 64 bits.
_SEEDS = 2**31
_UNKNOWN_HZ = 10
_GIVEN = ("frames", "actions", "goal", "instruction")


@dataclass(frozen=True)
class Start:
    """What a rollout begins with.

    Attributes:
        frames: uint8 (T, H, W, 3); the last is the present.
        actions: float32 (T-1, A), between the frames; None for a single frame.
        goal: float32 (G,), or None for no goal.
        instruction: the goal in words.
        seed: of the rollout's noise.
    """

    frames: NDArray[np.uint8]
    actions: NDArray[np.float32] | None = None
    goal: NDArray[np.float32] | None = None
    instruction: str = ""
    seed: int = 0


class Starts(Protocol):
    """A source of starts."""

    def draw(self, seed: int) -> Start:
        """The start of this seed; the same seed gives the same start."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


@dataclass
class WorldStarts:
    """Starts are resets of the MuJoCo world that the model was trained on.

    Attributes:
        world_id: Gymnasium id of the world.
        size_px: side of the frame.
        options: keyword arguments of the world.
    """

    world_id: str
    size_px: int
    options: Mapping[str, Any] = field(default_factory=dict)
    _world: Any = None

    def draw(self, seed: int) -> Start:
        """The start that `Push-v0` and its like show after `reset(seed=seed)`.

        Raises:
            RenderingError: no working OpenGL; start from frames of your own instead.
        """
        if self._world is None:
            # Needs OpenGL, which rollouts from the user's own frames do without.
            from envs.adapter import make_world

            self._world = make_world(self.world_id, self.size_px, **self.options)
        frame, info = self._world.reset(seed=seed)
        return Start(frame[None], None, info["goal"], info["instruction"], seed % _SEEDS)

    def close(self) -> None:
        """Close the world."""
        if self._world is not None:
            self._world.close()
            self._world = None


@dataclass(frozen=True)
class FrameStarts:
    """Starts are recorded frames, one of which each seed picks.

    Attributes:
        frames: uint8 (M, H, W, 3).
    """

    frames: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if np.ndim(self.frames) != 4 or not len(self.frames):
            raise FrameError(
                "start_frames must have shape (M, H, W, 3) with at least one frame, "
                f"got {np.shape(self.frames)}."
            )

    def draw(self, seed: int) -> Start:
        """The frame of this seed."""
        pick = int(np.random.default_rng(seed).integers(len(self.frames)))
        return Start(np.array(self.frames[pick])[None], seed=seed % _SEEDS)

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class _NoStarts:
    """A checkpoint that knows no world, opened without frames."""

    def draw(self, seed: int) -> Start:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "This checkpoint names no MuJoCo world to start from. Pass start_frames= to the "
            'environment, or reset(options={"frames": ...}).'
        )

    def close(self) -> None:
        """Nothing is held."""


def starts_of(pipeline: WorldModelPipeline, start_frames: NDArray[np.uint8] | None) -> Starts:
    """The starts of an environment: the frames given, else the checkpoint's own world."""
    if start_frames is not None:
        return FrameStarts(start_frames)
    if not pipeline.config.world:
        return _NoStarts()
    return WorldStarts(
        pipeline.config.world, pipeline.frame_shape[0], dict(pipeline.config.world_options)
    )


def frames_per_s(pipeline: WorldModelPipeline) -> int:
    """At what rate frames follow one another in the world that a model was learned from, in Hz.

    10 where the checkpoint names no world, or one that is not installed here or cannot be drawn.
    """
    if not pipeline.config.world:
        return _UNKNOWN_HZ
    try:
        from envs.adapter import make_world

        world = make_world(
            pipeline.config.world, pipeline.frame_shape[0], **pipeline.config.world_options
        )
    except (ConfigError, RenderingError):
        # Rollouts from the user's own frames do without it.
        return _UNKNOWN_HZ
    try:
        return int(world.metadata["render_fps"])
    finally:
        world.close()


def user_start(options: Mapping[str, Any], seed: int) -> Start:
    """The start that a user put into `reset(options=...)`.

    Args:
        options: "frames" uint8 (T, H, W, 3) or one image (H, W, 3); "actions" float32 (T-1, A);
            "goal" float32 (G,); "instruction" str.
        seed: of the noise.

    Raises:
        ConfigError: an unknown name, or no frames.
        FrameError: frames of another rank.
        ActionError: several frames without the actions between them.
    """
    if unknown := sorted(set(options) - set(_GIVEN)):
        raise ConfigError(f"reset does not know the options {unknown}; it knows {list(_GIVEN)}.")
    if "frames" not in options:
        raise ConfigError(f'The options {sorted(options)} need "frames" beside them.')
    frames = np.array(options["frames"])
    frames = frames[None] if frames.ndim == 3 else frames
    if frames.ndim != 4:
        raise FrameError(f"frames must be (T, H, W, 3) or (H, W, 3), got {frames.shape}.")
    actions, goal = options.get("actions"), options.get("goal")
    if actions is None and len(frames) > 1:
        raise ActionError(
            f'{len(frames)} frames need "actions" float32 ({len(frames) - 1}, A): what was done '
            "between them. Pass only the last frame if that is not known."
        )
    return Start(
        frames,
        None if actions is None or len(frames) == 1 else np.array(actions, np.float32),
        None if goal is None else np.array(goal, np.float32),
        str(options.get("instruction", "")),
        seed % _SEEDS,
    )


def refuse_beside_state(options: Mapping[str, Any]) -> None:
    """Refuse options of `reset` that a saved state would overrule.

    Raises:
        ConfigError: there is something beside "state".
    """
    if others := sorted(set(options) - {"state"}):
        raise ConfigError(f'A start from "state" takes nothing else, got {others} beside it.')


def begin(pipeline: WorldModelPipeline, start: Start) -> RolloutState:
    """The one-lane rollout that begins at a start.

    Raises:
        FrameError: wrong frame size, dtype or channel order.
        ActionError: malformed actions.
        StateError: a goal of another length.
    """
    actions = None if start.actions is None else start.actions[None]
    goal = start.goal if pipeline.goal_dim else None
    return pipeline.reset(
        start.frames[None],
        actions,
        None if goal is None else goal[None],
        seed=start.seed,
    )
