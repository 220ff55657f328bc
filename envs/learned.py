"""`worldmodel/Learned-v0` and `worldmodel/PushLearned-v0`: a world model as an environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from envs.actions import ActionSpace, checked_action
from envs.learned_state import Checkpoint, LearnedState, checked_rollout, opened_pipeline
from envs.random_stream import generator_words, restore_generator
from envs.starts import begin, frames_per_s, refuse_beside_state, starts_of, user_start
from multimodal.errors import StateError
from worldmodel.rollout_state import RolloutState

__all__ = ["WorldModelEnv"]

Frame = NDArray[np.uint8]
Info = dict[str, Any]


class WorldModelEnv(gym.Env[Frame, NDArray[np.float32]]):
    """A learned simulator with the interface of the MuJoCo world that it was learned from.

    Frames are what the model sees of itself: the first one too has been through the tokeniser, so
    that a frame is a function of the state and a restored state shows the same one.

    Args:
        checkpoint: a shipped name ("push"), a folder, or a `WorldModelPipeline`.
        max_steps: truncation; 0 never truncates.
        terminate: end the episode where the model finds that more likely than not.
        start_frames: uint8 (M, H, W, 3), recorded frames that resets pick from. None resets the
            MuJoCo world named in the checkpoint: seed 7 starts where that world starts with seed 7.
        device: of the model; None is the one chosen for this process.
        render_mode: "rgb_array" or None; observations are frames either way.

    Raises:
        CheckpointError: no such checkpoint, or a damaged one.
    """

    # Gymnasium declares it of the instance, so it cannot be a ClassVar here.
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    action_space: ActionSpace

    def __init__(
        self,
        checkpoint: Checkpoint = "push",
        *,
        max_steps: int = 200,
        terminate: bool = True,
        start_frames: Frame | None = None,
        device: str | None = None,
        render_mode: str | None = "rgb_array",
    ) -> None:
        self.pipeline = opened_pipeline(checkpoint, device)
        self.metadata = {**self.metadata, "render_fps": frames_per_s(self.pipeline)}
        self.render_mode = render_mode
        self.action_space = gym.spaces.Box(self.pipeline.action_low, self.pipeline.action_high)
        self.observation_space = gym.spaces.Box(0, 255, self.pipeline.frame_shape, np.uint8)
        self._starts = starts_of(self.pipeline, start_frames)
        self._max_steps = max_steps
        self._terminate = terminate
        self._rollout: RolloutState | None = None
        self._steps = 0
        self._instruction = ""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, Info]:
        """Begin a rollout.

        Args:
            seed: of the start and of the model's noise.
            options: nothing for a drawn start; or `{"frames": uint8 (T, H, W, 3) or (H, W, 3),
                "actions": float32 (T-1, A), "goal": float32 (G,), "instruction": str}`, of which
                frames are enough when there is one; or `{"state": RolloutState | LearnedState}`.

        Returns:
            frame: uint8 (H, W, 3).
            info: instruction and goal vector.

        Raises:
            FrameError: wrong frame size, dtype or channel order.
            ActionError: malformed actions, or none for several frames.
            StateError: a state or goal of another model.
            ConfigError: unknown options.
        """
        super().reset(seed=seed)
        options = dict(options or {})
        if "state" in options:
            refuse_beside_state(options)
            self.restore_state(options["state"])
            self._steps = 0
            return self.render(), self._info()
        start_seed = int(self.np_random.integers(2**31)) if seed is None else seed
        start = user_start(options, start_seed) if options else self._starts.draw(start_seed)
        self._rollout = begin(self.pipeline, start)
        self._steps = 0
        self._instruction = start.instruction
        return self.render(), self._info()

    def step(self, action: Any) -> tuple[Frame, float, bool, bool, Info]:
        """Advance the rollout by one step.

        Args:
            action: float32 (A,), inside the action space.

        Returns:
            frame uint8 (H, W, 3), reward, terminated, truncated, info.

        Raises:
            ActionError: the action is malformed; the rollout is left as it was.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        checked = checked_action(action, self.action_space)
        output = self.pipeline.step(self._begun(), torch.from_numpy(checked)[None])
        self._rollout = output.state
        self._steps += 1
        chance = float(output.termination[0])
        return (
            output.frame[0].cpu().numpy(),
            float(output.reward[0]),
            self._terminate and chance > 0.5,
            0 < self._max_steps <= self._steps,
            {**self._info(), "termination_probability": chance},
        )

    def render(self) -> Frame:
        """The current frame: uint8 (H, W, 3).

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        frame: Frame = self.pipeline.render(self._begun())[0].cpu().numpy()
        return frame

    def save_state(self) -> LearnedState:
        """The rollout at this instant, as a value; takes constant time.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        return LearnedState(
            self._begun().fork(),
            (self._steps,),
            (False,),
            (self._instruction,),
            (generator_words(self.np_random),),
        )

    def restore_state(self, state: LearnedState | RolloutState) -> None:
        """Return to a saved instant; frames and futures from here are bit-equal.

        Args:
            state: from `save_state`, or one lane of a pipeline's rollout.

        Raises:
            StateError: of another model, or of several lanes.
        """
        if isinstance(state, RolloutState):
            self._rollout = checked_rollout(state, self.pipeline, lanes=1)
            self._steps = int(state.step[0])
            self._instruction = ""
            return
        if not isinstance(state, LearnedState):
            raise StateError(f"Expected a state from save_state(), got {type(state).__name__}.")
        self._rollout = checked_rollout(state.rollout, self.pipeline, lanes=1)
        self._steps = state.steps[0]
        self._instruction = state.instructions[0]
        restore_generator(self.np_random, state.random[0])

    def _begun(self) -> RolloutState:
        if self._rollout is None:
            raise gym.error.ResetNeeded("Call reset() before anything else.")
        return self._rollout

    def _info(self) -> Info:
        goal = self._begun().goal[0].cpu().numpy().copy()
        return {"instruction": self._instruction, "goal": goal}

    def close(self) -> None:
        """Close the MuJoCo world of the starts, if one was opened."""
        self._starts.close()
