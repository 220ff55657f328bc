"""What one player does: two worlds under the same actions, and the way back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.gap.pixels import psnr_db
from envs.learned import WorldModelEnv
from envs.learned_state import LearnedState
from envs.mujoco_world import MujocoWorld, WorldState
from envs.twin import simulator_of
from multimodal.errors import ConfigError
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["KEPT_STEPS", "PlaySession", "View"]

KEPT_STEPS = 600
"""How far back a player can go: a minute at ten steps a second."""


@dataclass(frozen=True, eq=False)
class View:
    """What there is to see.

    Attributes:
        learned: uint8 (H, W, 3).
        truth: what MuJoCo shows after the same actions, uint8 (H, W, 3); None without a simulator.
        step: actions since the beginning.
        instruction: what the scene asks for, empty for nothing.
        reward: of the last step, by the model.
        psnr_db: how alike the two are; None without a simulator.
        success: whether MuJoCo says that the goal is reached; None where nothing says.
        over: whether an episode would end here, by the simulator or, without one, by the model.
    """

    learned: NDArray[np.uint8]
    truth: NDArray[np.uint8] | None
    step: int
    instruction: str
    reward: float
    psnr_db: float | None
    success: bool | None
    over: bool


@dataclass(frozen=True)
class _Told:
    """What the last step came to."""

    step: int = 0
    reward: float = 0.0
    success: bool | None = None
    over: bool = False


@dataclass(frozen=True)
class _Moment:
    learned: LearnedState
    truth: WorldState | None
    told: _Told


class PlaySession:
    """The learned world and, where the checkpoint names one, MuJoCo beside it.

    Args:
        pipeline: the learned simulator.
        frames: the player's own picture to begin at, uint8 (H, W, 3) or (T, H, W, 3) of one frame;
            there is then no simulator beside it.
        truth: whether MuJoCo runs beside it where there is one.

    Raises:
        ConfigError: neither a picture nor a world to begin at.
    """

    def __init__(
        self,
        pipeline: WorldModelPipeline,
        frames: NDArray[np.uint8] | None = None,
        *,
        truth: bool = True,
    ) -> None:
        if frames is None and not pipeline.config.world:
            raise ConfigError(
                "this checkpoint names no MuJoCo world to begin at: give a picture, image=PATH."
            )
        self._picture = frames
        self.learned = WorldModelEnv(pipeline, max_steps=0, terminate=False)
        self.truth: MujocoWorld | None = None
        if truth and frames is None:
            self.truth = simulator_of(pipeline)
        self._past: deque[_Moment] = deque(maxlen=KEPT_STEPS)
        self._told = _Told()
        self._instruction = ""
        self._goal: dict[str, Any] = {}

    @property
    def action_space(self) -> gym.spaces.Box:
        """Of `move`."""
        space = self.learned.action_space
        assert isinstance(space, gym.spaces.Box)
        return space

    @property
    def steps_per_s(self) -> int:
        """The world's own rate."""
        world = self.learned if self.truth is None else self.truth
        return int(world.metadata["render_fps"])

    def begin(self, seed: int) -> View:
        """Begin at a scene, or at the player's own picture.

        Args:
            seed: of the scene.

        Raises:
            FrameError: the picture has another size than the model's frames.
        """
        options: dict[str, Any] | None = None
        if self._picture is not None:
            options = {"frames": self._picture}
        elif self.truth is not None:
            frame, known = self.truth.reset(seed=seed)
            self._goal = {name: known[name] for name in ("goal", "instruction")}
            options = {"frames": frame, **self._goal}
        _, info = self.learned.reset(seed=seed, options=options)
        self._instruction = str(info["instruction"])
        self._past.clear()
        self._told = _Told()
        return self.view()

    def move(self, action: NDArray[np.float32]) -> View:
        """One step of both worlds.

        Args:
            action: float32 (A,).

        Raises:
            ActionError: malformed, or outside the action space; nothing has moved.
        """
        before = self._moment()
        _, reward, _, _, info = self.learned.step(action)
        self._past.append(before)
        success, over = None, info["termination_probability"] > 0.5
        if self.truth is not None:
            _, _, over, _, known = self.truth.step(action)
            success = bool(known["success"]) if "success" in known else None
        self._told = _Told(self._told.step + 1, reward, success, over)
        return self.view()

    def back(self, steps: int) -> View:
        """Go back; the steps taken from there are as they would have been.

        Args:
            steps: how many, at most as many as are kept.
        """
        moment, until = None, self._told.step - steps
        while self._past and self._past[-1].told.step >= until:
            moment = self._past.pop()
        if moment is not None:
            self.learned.restore_state(moment.learned)
            if self.truth is not None and moment.truth is not None:
                self.truth.restore_state(moment.truth)
            self._told = moment.told
        return self.view()

    def meet(self) -> View:
        """Let the learned world go on from what MuJoCo shows now.

        Raises:
            ConfigError: no simulator runs beside it.
        """
        if self.truth is None:
            raise ConfigError("no MuJoCo world runs beside this one to go on from.")
        self._past.append(self._moment())
        self.learned.reset(options={"frames": self.truth.render(), **self._goal})
        self._told = replace(self._told, reward=0.0)
        return self.view()

    def view(self) -> View:
        """What there is to see now."""
        made = self.learned.render()
        true = None if self.truth is None else self.truth.render()
        alike = None if true is None else float(psnr_db(made, true))
        told = self._told
        return View(
            made, true, told.step, self._instruction, told.reward, alike, told.success, told.over
        )

    def close(self) -> None:
        """Close both worlds."""
        self.learned.close()
        if self.truth is not None:
            self.truth.close()

    def _moment(self) -> _Moment:
        truth = None if self.truth is None else self.truth.save_state()
        return _Moment(self.learned.save_state(), truth, self._told)
