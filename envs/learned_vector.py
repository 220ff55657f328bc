"""Many learned rollouts as one `gymnasium.vector.VectorEnv`: one forward pass for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from envs.actions import checked_action
from envs.lane_options import lane_mask, lane_options, lane_seeds
from envs.learned_state import Checkpoint, LearnedState, checked_rollout, opened_pipeline
from envs.random_stream import generator_words, restore_generator
from envs.starts import Start, begin, frames_per_s, refuse_beside_state, starts_of, user_start
from multimodal.errors import ActionError, ConfigError, StateError
from worldmodel.rollout_state import RolloutState

__all__ = ["WorldModelVectorEnv"]

Array = NDArray[Any] | Tensor
Info = dict[str, Any]
Step = tuple[Array, Array, Array, Array, Info]


class WorldModelVectorEnv(gym.vector.VectorEnv[Array, Array, Array]):
    """N learned rollouts side by side, stepped by one batched forward pass.

    Lane i, reset with seed s, shows what `WorldModelEnv` shows with seed s + i, within what a
    batched matrix product differs from a single one: rewards within 1e-3, pixels within 2 of 255
    over 50 steps on a CPU. Autoreset follows Gymnasium in all three modes.

    Args:
        num_envs: N, number of lanes.
        checkpoint: a shipped name ("push"), a folder, or a `WorldModelPipeline`.
        tensors: give and take torch tensors on the model's device (observations uint8, rewards
            float32, the rest bool); False gives NumPy arrays as Gymnasium's own environments do.
        autoreset_mode: when an ended lane begins anew; an `AutoresetMode` or its value.
        max_steps: truncation; 0 never truncates.
        terminate: end an episode where the model finds that more likely than not.
        start_frames: uint8 (M, H, W, 3) that resets pick from; None resets the checkpoint's world.
        device: of the model; None is the one chosen for this process.
        render_mode: "rgb_array" or None; observations are frames either way.

    Raises:
        CheckpointError: no such checkpoint, or a damaged one.
        ConfigError: no lanes, or an unknown autoreset mode.
    """

    def __init__(
        self,
        num_envs: int = 1,
        checkpoint: Checkpoint = "push",
        *,
        tensors: bool = False,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        max_steps: int = 200,
        terminate: bool = True,
        start_frames: NDArray[np.uint8] | None = None,
        device: str | None = None,
        render_mode: str | None = "rgb_array",
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, got {num_envs}.")
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError as error:
            known = [mode.value for mode in AutoresetMode]
            raise ConfigError(f"autoreset_mode must be one of {known}: {error}.") from error
        self.pipeline = opened_pipeline(checkpoint, device)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": frames_per_s(self.pipeline),
            "autoreset_mode": self.autoreset_mode,
            "torch": tensors,
        }
        low, high = self.pipeline.action_low, self.pipeline.action_high
        self.single_action_space = gym.spaces.Box(low, high)
        self.single_observation_space = gym.spaces.Box(0, 255, self.pipeline.frame_shape, np.uint8)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._tensors = tensors
        self._max_steps = max_steps
        self._terminate = terminate
        self._starts = starts_of(self.pipeline, start_frames)
        self._rollout: RolloutState | None = None
        self._frames = torch.empty(0)
        self._steps = np.zeros(num_envs, np.int64)
        self._ended = np.zeros(num_envs, np.bool_)
        self._instructions: NDArray[np.object_] = np.full(num_envs, "", object)
        self._generators: list[np.random.Generator | None] = [None] * num_envs

    # Gymnasium's interface --------------------------------------------------------------------

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Array, Info]:
        """Begin the rollouts, or some of them.

        Args:
            seed: lane i takes `seed + i`, or the i-th of a sequence; None goes on.
            options: "reset_mask" bool (N,) resets only those lanes; "frames", "actions", "goal"
                and "instruction" as for `WorldModelEnv`, for all lanes alike, or with a first axis
                of N; or "state", a `RolloutState` or `LearnedState` of N lanes.

        Returns:
            frames: uint8 (N, H, W, 3); lanes that were not reset keep theirs.
            info: instruction and goal vector of the lanes that were reset.

        Raises:
            FrameError, ActionError, StateError: malformed parts of `options`.
            ConfigError: unknown options, or a mask or seeds that do not fit the lanes.
        """
        options = dict(options or {})
        mask = lane_mask(options.pop("reset_mask", None), self.num_envs)
        seeds = lane_seeds(seed, self.num_envs)
        if isinstance(seed, int):
            super().reset(seed=seed)
        if self._rollout is None and not mask.all():
            raise ConfigError("The first reset must be of all lanes: leave reset_mask out.")
        if "state" in options:
            refuse_beside_state(options)
            if not mask.all():
                raise ConfigError('"state" is of all lanes: leave reset_mask out.')
            self.restore_state(options["state"])
            self._steps[:], self._ended[:] = 0, False
        else:
            self._begin(mask, seeds, options)
        return self._given(self._frames), self._info(mask)

    def step(self, actions: Any) -> Step:
        """Advance every lane by one step.

        Args:
            actions: float32 (N, A), inside the action space.

        Returns:
            frames uint8 (N, H, W, 3), rewards, terminations, truncations (N,), info.

        Raises:
            ActionError: the actions are malformed; nothing has moved.
            gymnasium.error.ResetNeeded: before the first reset, or for an ended lane when autoreset
                is disabled.
        """
        rollout, given = self._begun(), self._checked(actions)
        fresh = self._ended.copy()
        if self.autoreset_mode is AutoresetMode.DISABLED and fresh.any():
            raise gym.error.ResetNeeded(
                f"The episodes of lanes {np.flatnonzero(fresh).tolist()} are over: call "
                'reset(options={"reset_mask": terminations | truncations}) first.'
            )
        output = self.pipeline.step(rollout, given)
        self._rollout, self._frames = output.state, output.frame
        self._steps += 1
        chances = output.termination.cpu().numpy()
        rewards = output.reward
        terminations = (chances > 0.5) & self._terminate & ~fresh
        truncations = (self._max_steps > 0) & (self._steps >= self._max_steps) & ~fresh
        self._ended = terminations | truncations
        info: Info = {}
        if fresh.any():
            rewards = torch.where(torch.as_tensor(fresh, device=rewards.device), 0.0, rewards)
            self._begin(fresh, [None] * self.num_envs, {})
        elif self.autoreset_mode is AutoresetMode.SAME_STEP and self._ended.any():
            fresh = self._ended.copy()
            info = self._final(fresh, chances)
            self._begin(fresh, [None] * self.num_envs, {})
        info |= self._info(np.ones(self.num_envs, np.bool_))
        info |= self._masked("termination_probability", chances, ~fresh)
        return (
            self._given(self._frames),
            self._given(rewards.float() if self._tensors else rewards.double()),
            self._given(torch.from_numpy(terminations)),
            self._given(torch.from_numpy(truncations)),
            info,
        )

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The current frame of every lane, uint8 (H, W, 3) each."""
        if self.render_mode is None:
            return None
        self._begun()
        return tuple(self._frames.cpu().numpy().copy())

    def close_extras(self, **_: Any) -> None:
        """Close the MuJoCo world of the starts, if one was opened."""
        self._starts.close()

    # Saving -----------------------------------------------------------------------------------

    def save_state(self) -> LearnedState:
        """All lanes at this instant, as a value."""
        return LearnedState(
            self._begun().fork(),
            tuple(self._steps.tolist()),
            tuple(self._ended.tolist()),
            tuple(self._instructions),
            tuple(generator_words(self._generator(lane)) for lane in range(self.num_envs)),
        )

    def restore_state(self, state: LearnedState | RolloutState) -> None:
        """Return to a saved instant; frames and futures from here are bit-equal.

        Raises:
            StateError: of another model or number of lanes.
        """
        if isinstance(state, RolloutState):
            self._rollout = checked_rollout(state, self.pipeline, self.num_envs)
            self._steps = state.step.cpu().numpy().copy()
            self._ended = np.zeros(self.num_envs, np.bool_)
            self._instructions = np.full(self.num_envs, "", object)
        elif isinstance(state, LearnedState):
            self._rollout = checked_rollout(state.rollout, self.pipeline, self.num_envs)
            self._steps = np.array(state.steps)
            self._ended = np.array(state.ended)
            self._instructions = np.array(state.instructions, object)
            for lane, words in enumerate(state.random):
                restore_generator(self._generator(lane), words)
        else:
            raise StateError(f"Expected a state from save_state(), got {type(state).__name__}.")
        self._frames = self.pipeline.render(self._rollout)

    # Inside -----------------------------------------------------------------------------------

    def _begun(self) -> RolloutState:
        if self._rollout is None:
            raise gym.error.ResetNeeded("Call reset() before anything else.")
        return self._rollout

    def _generator(self, lane: int) -> np.random.Generator:
        made = self._generators[lane]
        if made is None:
            made, _ = seeding.np_random()
            self._generators[lane] = made
        return made

    def _checked(self, actions: Any) -> Tensor:
        """Actions as a tensor; those that are tensors already are checked by the pipeline."""
        if isinstance(actions, Tensor):
            shape = self.action_space.shape
            if tuple(actions.shape) != shape:
                raise ActionError(f"Actions must have shape {shape}, got {tuple(actions.shape)}.")
            return actions
        space: Any = self.action_space
        return torch.from_numpy(checked_action(actions, space))

    def _start(self, lane: int, seed: int | None, options: Mapping[str, Any]) -> Start:
        if seed is not None:
            self._generators[lane], _ = seeding.np_random(seed)
        else:
            seed = int(self._generator(lane).integers(2**31))
        if options:
            return user_start(lane_options(options, lane, self.num_envs), seed)
        return self._starts.draw(seed)

    def _begin(
        self, mask: NDArray[np.bool_], seeds: Sequence[int | None], options: Mapping[str, Any]
    ) -> None:
        """Put the lanes in `mask` at new starts and leave the others as they are."""
        lanes = np.flatnonzero(mask).tolist()
        starts = [self._start(lane, seeds[lane], options) for lane in lanes]
        begun = RolloutState.concatenate([begin(self.pipeline, start) for start in starts])
        if self._rollout is None or len(lanes) == self.num_envs:
            self._rollout = begun
        else:
            # Every lane points at itself, those that begin at their place in `begun`.
            order = torch.arange(self.num_envs)
            order[lanes] = self.num_envs + torch.arange(len(lanes))
            self._rollout = RolloutState.concatenate([self._rollout, begun]).select(order)
        self._frames = self.pipeline.render(self._rollout)
        self._steps[lanes] = 0
        self._ended[lanes] = False
        for lane, start in zip(lanes, starts, strict=True):
            self._instructions[lane] = start.instruction

    def _final(self, mask: NDArray[np.bool_], chances: NDArray[np.float32]) -> Info:
        """What the ended episodes showed last, for `SAME_STEP`."""
        frames: Any = self._given(self._frames)
        if not self._tensors:
            kept = np.full(self.num_envs, None, object)
            for lane in np.flatnonzero(mask):
                kept[lane] = frames[lane]
            frames = kept
        last = self._info(mask) | self._masked("termination_probability", chances, mask)
        return {
            "final_obs": frames,
            "_final_obs": self._flags(mask),
            "final_info": last,
            "_final_info": self._flags(mask),
        }

    def _info(self, mask: NDArray[np.bool_]) -> Info:
        goal = self._given(self._begun().goal)
        instructions = self._instructions.copy()
        instructions[~mask] = None
        return {
            **self._masked("goal", goal, mask),
            "instruction": instructions,
            "_instruction": self._flags(mask),
        }

    def _masked(self, name: str, values: Any, mask: NDArray[np.bool_]) -> Info:
        """An entry of info with its mask; zeros where the mask is false, as Gymnasium has it."""
        flags = self._flags(mask)
        if self._tensors:
            tensor = torch.as_tensor(values, device=self.pipeline.device)
            wide = torch.as_tensor(mask, device=tensor.device).view(-1, *(1,) * (tensor.ndim - 1))
            return {name: torch.where(wide, tensor, torch.zeros_like(tensor)), f"_{name}": flags}
        wide_mask = mask.reshape(-1, *(1,) * (np.ndim(values) - 1))
        return {name: np.where(wide_mask, values, np.zeros_like(values)), f"_{name}": flags}

    def _flags(self, mask: NDArray[np.bool_]) -> Array:
        return self._given(torch.from_numpy(mask))

    def _given(self, tensor: Tensor) -> Array:
        """A copy of the caller's own, in the form asked for."""
        if self._tensors:
            return tensor.to(self.pipeline.device, copy=True)
        array: NDArray[Any] = tensor.cpu().numpy().copy()
        return array
