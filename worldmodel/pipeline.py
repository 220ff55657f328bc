"""The learned simulator as a diffusers pipeline: reset it, step it, fork it, save it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from diffusers import DiffusionPipeline, FlowMapEulerDiscreteScheduler
from diffusers.utils import logging
from numpy.typing import NDArray
from torch import Tensor, nn

from multimodal.errors import ActionError, CheckpointError, FrameError, StateError
from multimodal.layers import LayerReader
from multimodal.tokenizer import VideoTokenizer, frames_tensor, to_uint8
from worldmodel.checkpoint import resolve, verify, write_manifest
from worldmodel.compact import CompactDynamics, CompactTokenizer
from worldmodel.device import refuse_format
from worldmodel.dynamics import Dynamics, Memory
from worldmodel.layered import begin, carry
from worldmodel.loading_bars import without_bars
from worldmodel.motion import Motion
from worldmodel.outputs import RolloutOutput, StepOutput
from worldmodel.rollout_state import RolloutState, source_noise
from worldmodel.sampler import next_frame

__all__ = ["SETTINGS", "RolloutOutput", "StepOutput", "WorldModelPipeline"]

KIND = "world-model"
SETTINGS = (
    "world",
    "world_options",
    "size_px",
    "action_low",
    "action_high",
    "sampling_steps",
    "source",
)
Array = Tensor | NDArray[Any]


class WorldModelPipeline(DiffusionPipeline):
    """Tokeniser, dynamics and scheduler, together a simulator that was learned from video.

    Args:
        tokenizer: frames to latents and back.
        dynamics: latents and actions to latents.
        scheduler: steps the flow from one frame to the next.
        layer_reader: takes the first frame apart into what can move and what lies behind.
        motion: carries those layers along; without the two, frames are decoded from latents.
        world: id of the MuJoCo world it was learned from, "" if none.
        world_options: keyword arguments of that world.
        size_px: side of a frame.
        action_low: lower bound of each action (A,), -1 when not given.
        action_high: upper bound of each action (A,), 1 when not given.
        sampling_steps: evaluations for each frame.
        source: where the flow to the next frame starts, "last" (frame) or "noise".
    """

    _optional_components: ClassVar[list[str]] = ["layer_reader", "motion"]

    def __init__(
        self,
        tokenizer: VideoTokenizer | CompactTokenizer,
        dynamics: Dynamics | CompactDynamics,
        scheduler: FlowMapEulerDiscreteScheduler,
        layer_reader: LayerReader | None = None,
        motion: Motion | None = None,
        world: str = "",
        world_options: dict[str, Any] | None = None,
        size_px: int = 64,
        action_low: list[float] | None = None,
        action_high: list[float] | None = None,
        sampling_steps: int = 1,
        source: str = "last",
    ) -> None:
        super().__init__()
        if (layer_reader is None) != (motion is None):
            raise CheckpointError(
                "layer_reader and motion belong together: give both, or neither of them."
            )
        self.register_modules(
            tokenizer=tokenizer,
            dynamics=dynamics,
            scheduler=scheduler,
            layer_reader=layer_reader,
            motion=motion,
        )
        count = dynamics.config.action_dim
        self.register_to_config(
            world=world,
            world_options=world_options or {},
            size_px=size_px,
            action_low=action_low or [-1.0] * count,
            action_high=action_high or [1.0] * count,
            sampling_steps=sampling_steps,
            source=source,
        )
        # Read at every step; diffusers' config lookups would cost more than the arithmetic.
        self._low = torch.tensor(self.config.action_low)
        self._high = torch.tensor(self.config.action_high)
        for model in self._models():
            model.eval().requires_grad_(False)
        # Loading weights undoes the layout that the constructor chose, and so speed and last bits.
        tokenizer.to(memory_format=torch.channels_last)

    def _models(self) -> list[nn.Module]:
        """The networks, without those that this pipeline does not have."""
        parts = (self.tokenizer, self.dynamics, self.layer_reader, self.motion)
        return [part for part in parts if part is not None]

    @property
    def device(self) -> torch.device:
        """Where the weights are; that of diffusers looks through all modules in every step."""
        return next(self.dynamics.parameters()).device

    @property
    def action_dim(self) -> int:
        """A, numbers in an action."""
        return int(self.dynamics.config.action_dim)

    @property
    def goal_dim(self) -> int:
        """G, numbers in a goal vector; 0 when the model knows no goals."""
        return int(self.dynamics.config.goal_dim)

    @property
    def context(self) -> int:
        """Frames the model remembers."""
        return int(self.dynamics.config.context)

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(H, W, 3)."""
        return (int(self.config.size_px), int(self.config.size_px), 3)

    @property
    def action_low(self) -> NDArray[np.float32]:
        """Lower bounds, float32 (A,)."""
        return np.asarray(self.config.action_low, np.float32)

    @property
    def action_high(self) -> NDArray[np.float32]:
        """Upper bounds, float32 (A,)."""
        return np.asarray(self.config.action_high, np.float32)

    def without_layers(self) -> WorldModelPipeline:
        """The same model as the dynamics alone has it: every frame decoded from latents.

        For pictures in which the reader of layers finds nothing that can move.
        """
        config = dict(self.config)
        kept = {name: config[name] for name in SETTINGS}
        return type(self)(self.tokenizer, self.dynamics, self.scheduler, **kept)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move everything to a device.

        Raises:
            ConfigError: asked for another number format than float32.
        """
        refuse_format(*args, kwargs.get("dtype"))
        return super().to(*args, **kwargs)

    def blank_state(self) -> RolloutState:
        """One lane that begins at a black frame: what a state of this model is made of."""
        return self.reset(torch.zeros(1, 1, *self.frame_shape, dtype=torch.uint8))

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Self:
        """Load a shipped checkpoint by name ("push") or any checkpoint by folder.

        Every file is compared with the manifest's SHA-256 first; nothing is unpickled, no code is
        loaded and no network is used.

        Raises:
            CheckpointError: missing, incomplete, altered or of another kind.
        """
        refuse_format(kwargs.get("torch_dtype"), kwargs.get("dtype"))
        folder = resolve(pretrained_model_name_or_path)
        verify(folder, KIND)
        kwargs = {"local_files_only": True, "use_safetensors": True} | kwargs
        try:
            with without_bars(logging):
                loaded = super().from_pretrained(str(folder), **kwargs)
        except (OSError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            raise CheckpointError(
                f"{folder} is whole but could not be loaded: {error}. "
                "It was written by another version; train or download it again."
            ) from error
        if not isinstance(loaded, cls):
            raise CheckpointError(
                f"{folder} holds a {type(loaded).__name__}; expected {cls.__name__}."
            )
        parameters = [pair for model in loaded._models() for pair in model.named_parameters()]
        if missing := [name for name, value in parameters if value.is_meta]:
            raise CheckpointError(
                f"{folder} lacks {len(missing)} weights that this version needs, {missing[0]!r} "
                "among them. It was written by another version; train or download it again."
            )
        return loaded

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write the pipeline as safetensors and JSON, with a SHA-256 manifest."""
        super().save_pretrained(str(save_directory), safe_serialization=True, **kwargs)
        write_manifest(Path(save_directory), KIND)

    def _checked_actions(self, actions: Array, shape: tuple[int, ...]) -> Tensor:
        """Actions as float (.., A) scaled to [-1, 1], or an ActionError."""
        tensor = torch.as_tensor(actions).to(self.device, torch.float32)
        if tuple(tensor.shape) != shape:
            raise ActionError(f"Actions must have shape {shape}, got {tuple(tensor.shape)}.")
        low, high = self._low.to(tensor.device), self._high.to(tensor.device)
        inside = (tensor >= low - 1e-5) & (tensor <= high + 1e-5)
        if not bool(inside.all()):
            raise ActionError(
                f"Actions must be finite and between {low.tolist()} and {high.tolist()}; "
                f"{int((~inside).sum())} of {inside.numel()} numbers are not. Clip them first."
            )
        return ((tensor - low) / (high - low) * 2 - 1).clamp(-1, 1)

    @torch.no_grad()
    def reset(
        self,
        frames: Array,
        actions: Array | None = None,
        goals: Array | None = None,
        seed: int | None = None,
    ) -> RolloutState:
        """Begin rollouts at recorded, simulated or photographed frames.

        Args:
            frames: uint8 (B, T, H, W, 3) or (T, H, W, 3) for one lane; the last is the present.
                One frame is enough.
            actions: float (B, T-1, A), which led from each frame to the next; needed when T > 1.
            goals: float (B, G); zeros when not given.
            seed: of the noise; lane i has `seed + i`.

        Raises:
            FrameError: malformed frames.
            ActionError: malformed actions, or none for several frames.
        """
        pixels = frames_tensor(frames, int(self.config.size_px))
        if pixels.dtype != torch.uint8:
            raise FrameError(
                f"Frames must be uint8 in 0..255, got {pixels.dtype}; multiply by 255 and convert."
            )
        pixels = pixels[None] if pixels.ndim == 4 else pixels
        if pixels.ndim != 5:
            raise FrameError(f"Expected (B, T, H, W, 3), got {tuple(pixels.shape)}.")
        batch, steps = pixels.shape[:2]
        scaled = self._past_actions(actions, batch, steps)
        lanes = (
            self._checked_goals(goals, batch),
            torch.arange(batch, device=self.device) + (seed or 0),
            torch.zeros(batch, dtype=torch.long, device=self.device),
        )
        if self.motion is not None:
            pixels = pixels[:, -2:].to(self.device)
            memory = Memory.bare(self.tokenizer.encode(pixels[:, -1:])[:, 0])
            return RolloutState(memory, *lanes, begin(self.layer_reader, self.motion, pixels))
        first = self.tokenizer.encode(pixels[:, :1])[:, 0]
        pixels = pixels[:, -(self.context + 1) :]
        latents = self.tokenizer.encode(pixels)
        memory = self.dynamics.start(latents[:, 0], first)
        scaled = scaled[:, scaled.shape[1] - (pixels.shape[1] - 1) :]
        for step in range(pixels.shape[1] - 1):
            prediction = self.dynamics.predict(memory, scaled[:, step])
            memory = self.dynamics.advance(memory, latents[:, step + 1], prediction)
        return RolloutState(memory, *lanes)

    def _past_actions(self, actions: Array | None, batch: int, steps: int) -> Tensor:
        """The actions between the frames a rollout begins with: float (B, T-1, A)."""
        if steps == 1:
            return torch.zeros(batch, 0, self.action_dim, device=self.device)
        if actions is None:
            raise ActionError(f"{steps} frames need the {steps - 1} actions between them.")
        given = torch.as_tensor(actions)
        given = given[None] if given.ndim == 2 else given
        return self._checked_actions(given, (batch, steps - 1, self.action_dim))

    def _checked_goals(self, goals: Array | None, batch: int) -> Tensor:
        if goals is None:
            return torch.zeros(batch, self.goal_dim, device=self.device)
        tensor = torch.as_tensor(goals).to(self.device, torch.float32)
        tensor = tensor[None] if tensor.ndim == 1 else tensor
        if tuple(tensor.shape) != (batch, self.goal_dim):
            raise StateError(
                f"Goals must have shape {(batch, self.goal_dim)}, got {tuple(tensor.shape)}."
            )
        return tensor

    @torch.no_grad()
    def advance(self, state: RolloutState, action: Array, draw: bool = True) -> RolloutState:
        """One step for those who need no pixels; `state` is left as it was.

        Args:
            state: the rollouts.
            action: float (B, A) inside the action bounds.
            draw: False is for those who need poses alone (`state.layered.pose`): frame and latents
                stay those that were drawn last. A model without layers always predicts latents.

        Raises:
            ActionError: malformed action.
        """
        scaled = self._checked_actions(action, (state.batch_size, self.action_dim))
        if state.layered is not None:
            layered = carry(self.motion, state.layered, scaled, draw)
            memory = state.memory
            if draw:
                memory = Memory.bare(self.tokenizer.encode(layered.frame[:, None])[:, 0])
            return RolloutState(memory, state.goal, state.seed, state.step + 1, layered)
        prediction = next_frame(
            self.dynamics,
            state.memory,
            scaled,
            self.scheduler,
            int(self.config.sampling_steps),
            self.config.source,
            start=None if self.config.source == "last" else source_noise(state),
        )
        memory = self.dynamics.advance(state.memory, prediction.latents, prediction)
        return RolloutState(memory, state.goal, state.seed, state.step + 1)

    @torch.no_grad()
    def outcome(self, state: RolloutState) -> tuple[Tensor, Tensor]:
        """Reward (B,) and probability of termination (B,) of the present frames."""
        logits = self.dynamics.outcome(state.memory.latents, state.goal)
        return self.dynamics.outcome.expect(logits[0]), logits[1].sigmoid()

    @torch.no_grad()
    def render(self, state: RolloutState) -> Tensor:
        """The present frames, uint8 (B, H, W, 3)."""
        if state.layered is not None:
            return state.layered.frame
        return to_uint8(self.tokenizer.decode(state.memory.latents[:, None])[:, 0])

    @torch.no_grad()
    def step(self, state: RolloutState, action: Array) -> StepOutput:
        """Advance B rollouts by one step; `state` is left as it was.

        Args:
            state: the rollouts.
            action: float (B, A) inside the action bounds.

        Raises:
            ActionError: malformed action.
        """
        after = self.advance(state, action)
        reward, termination = self.outcome(after)
        return StepOutput(
            frame=self.render(after), reward=reward, termination=termination, state=after
        )

    def rollout(self, state: RolloutState, actions: Array) -> RolloutOutput:
        """Advance B rollouts by T steps under actions float (B, T, A).

        Raises:
            ActionError: malformed actions.
        """
        tensor = torch.as_tensor(actions)
        if tensor.ndim != 3:
            raise ActionError(f"Actions must have shape (B, T, A), got {tuple(tensor.shape)}.")
        outputs = []
        for index in range(tensor.shape[1]):
            outputs.append(self.step(state, tensor[:, index]))
            state = outputs[-1].state
        return RolloutOutput(
            frames=torch.stack([output.frame for output in outputs], 1),
            rewards=torch.stack([output.reward for output in outputs], 1),
            terminations=torch.stack([output.termination for output in outputs], 1),
            state=state,
        )

    def __call__(self, frames: Array, actions: Array, seed: int | None = None) -> RolloutOutput:
        """Roll out from frames (B, T0, H, W, 3) under actions (B, T, A)."""
        return self.rollout(self.reset(frames, seed=seed), actions)
