"""The policy: from what the world model sees to what to do, for any goal of the world."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from diffusers.configuration_utils import register_to_config
from numpy.typing import NDArray
from torch import Tensor

from agents.policy.actor_critic import ActorCritic
from agents.policy.aims import image_aims
from agents.policy.eyes import PushEyes
from agents.policy.instructions import goals_of
from agents.policy.layer_eyes import LayerEyes
from agents.policy.sight import Sight
from agents.policy.trunks import LATENTS, LAYERS, Trunk, TrunkSource, fingerprint_of, trunk_for
from agents.policy.view import PushView
from multimodal.errors import ActionError, CheckpointError, FrameError
from multimodal.layers import LayerReader, Layers
from multimodal.tokenizer import frames_tensor
from multimodal.trunk import latents_of

__all__ = ["Policy"]

Shown = Tensor | NDArray[Any] | Layers


class Policy(ActorCritic):
    """Actor and critic over what a world model keeps of a frame: its latents, or its layers.

    Args:
        world: id of the world it acts in.
        trunk: fingerprint of what makes its inputs: an encoder, or a reader of layers.
        size_px: side of the frames that it takes.
        action_low: lower bounds of the action (A,).
        action_high: upper bounds (A,).
        channels: C of the latents.
        rows: rows of the latent grid.
        columns: columns of the latent grid.
        eyes_width: channels of the eyes.
        width: channels of actor and critic.
        sees: "latents" or "layers".
        sprite_px: side of a sprite's window, for layers.
    """

    KIND = "policy"
    view: PushView

    @register_to_config
    def __init__(
        self,
        world: str = "worldmodel/Push-v0",
        trunk: str = "",
        size_px: int = 64,
        action_low: Sequence[float] = (-1.0, -1.0),
        action_high: Sequence[float] = (1.0, 1.0),
        channels: int = 32,
        rows: int = 8,
        columns: int = 8,
        eyes_width: int = 64,
        width: int = 192,
        sees: str = LATENTS,
        sprite_px: int = 24,
    ) -> None:
        super().__init__()
        view = PushView(
            LayerEyes(size_px, sprite_px, eyes_width)
            if sees == LAYERS
            else PushEyes(channels, rows, columns, eyes_width)
        )
        self._compose(view, width, list(action_low), list(action_high))
        # In a tuple, past torch's bookkeeping: the trunk is the world model's, and not saved here.
        self._trunk: tuple[Trunk, ...] = ()

    # Acting -----------------------------------------------------------------------------------

    @property
    def action_dim(self) -> int:
        """A, numbers in an action."""
        return len(self.config.action_low)

    @torch.no_grad()
    def act(
        self,
        seen: Shown,
        goals: Tensor | NDArray[Any],
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """What to do.

        Args:
            seen: frames uint8 (B, H, W, 3), or what its trunk makes of them: latents float
                (B, N, C), or layers.
            goals: goal vectors (B, G), or aims.
            generator: draws actions from the policy; None takes the likeliest.

        Returns:
            actions float32 (B, A) inside the world's bounds.

        Raises:
            FrameError: neither frames of its size nor what its trunk makes of them.
            StateError: a goal that names no object or no place.
        """
        sight = self.see(seen)
        aims = self.view.aims(torch.as_tensor(goals).to(sight.device))
        features = self.view.features(sight, aims)
        log_probs = self.log_probs(features)
        index = log_probs.argmax(-1) if generator is None else self.drawn(log_probs, generator)
        return self.bounded(self.action.actions(index))

    def goals_of(self, instructions: Sequence[str]) -> Tensor:
        """Goal vectors (B, G) of instructions such as "push the red cube to the green target".

        Raises:
            StateError: an instruction that names no object by its colour, or no place.
        """
        return goals_of(instructions).to(self.low.device)

    def aims_of_images(self, seen: Shown, wanted: Shown) -> Tensor:
        """Aims (B, AIM_DIM), to be passed to `act` as goals, that make the present like pictures.

        Args:
            seen: the present, as for `act`.
            wanted: goal images, likewise; each shows one object somewhere else.

        Raises:
            StateError: a goal image shows no object at another place.
        """
        now, then = (Sight.from_vector(self.see(x)) for x in (seen, wanted))
        return image_aims(now, then)

    @torch.no_grad()
    def see(self, seen: Shown) -> Tensor:
        """What its eyes see, as vectors (B, S); `seen` as for `act`.

        Raises:
            FrameError: neither frames of its size nor what its trunk makes of them.
        """
        if isinstance(seen, Layers):
            if self.config.sees != LAYERS:
                raise FrameError("This policy sees latents, and was given layers. Give it frames.")
            return self.view.perceive(seen)
        tensor = torch.as_tensor(seen)
        if self.config.sees == LATENTS and tensor.ndim == 3:
            return self.view.perceive(self._checked_latents(tensor))
        if tensor.ndim != 4:
            raise FrameError(
                f"Expected frames (B, H, W, 3), got {tuple(tensor.shape)}; a single frame is "
                "frames[None]."
            )
        trunk = self.trunk
        if isinstance(trunk, LayerReader):
            pixels = frames_tensor(tensor, self.config.size_px)
            return self.view.perceive(trunk.read(pixels)).to(self.low.device)
        latents = latents_of(trunk, tensor, self.config.size_px)
        return self.view.perceive(latents.to(self.low.device))

    def _checked_latents(self, latents: Tensor) -> Tensor:
        wanted = (self.config.rows * self.config.columns, self.config.channels)
        if tuple(latents.shape[1:]) != wanted:
            raise FrameError(
                f"Expected latents (B, {wanted[0]}, {wanted[1]}) or frames (B, H, W, 3), got "
                f"{tuple(latents.shape)}; a single frame is frames[None]."
            )
        return latents.to(self.low.device, torch.float32)

    @property
    def trunk(self) -> Trunk:
        """What makes its inputs of frames.

        Raises:
            CheckpointError: none was given.
        """
        if not self._trunk:
            raise CheckpointError(
                f"This policy sees {self.config.sees} and was given nothing to make them of "
                "frames. Call policy.attach(world_model), or load it with Policy.from_pretrained."
            )
        return self._trunk[0]

    def attach(self, source: TrunkSource) -> None:
        """Give it what makes its inputs of frames: a world model, or the part of it that does.

        Raises:
            CheckpointError: it was trained on another, or there is none.
        """
        trunk = trunk_for(self.config.sees, source)
        found = fingerprint_of(trunk)
        if found != self.config.trunk:
            raise CheckpointError(
                f"This policy reads the {self.config.sees} of the encoder {self.config.trunk}; "
                f"this one is {found}, and what it says means something else. Use the world model "
                "that the policy was trained in, or train it anew: `worldmodel policy train`."
            )
        self._trunk = (trunk,)

    # Loading and saving -----------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        name_or_dir: str | os.PathLike[str] = "push-policy",
        trunk: TrunkSource | None = "push",
        **options: Any,
    ) -> Self:
        """Load a shipped policy by name, or any by its folder.

        Args:
            name_or_dir: a shipped name, or the folder that `worldmodel policy train` wrote.
            trunk: what makes its inputs of frames: a world model or the part of it that does, a
                shipped name, or a folder; None for one that is given latents or layers only.
            options: passed on to diffusers.

        Raises:
            CheckpointError: missing, torn, altered, no policy, or trained on another trunk.
        """
        policy = cls._opened(name_or_dir, **options)
        if trunk is not None:
            policy.attach(trunk)
        return policy

    def require_actions(self, low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
        """Refuse a world whose actions are not the ones the policy was trained for.

        Raises:
            ActionError: another number of actions, or other bounds.
        """
        mine = (np.array(self.config.action_low), np.array(self.config.action_high))
        if len(low) != self.action_dim or not all(
            np.allclose(a, b) for a, b in zip(mine, (low, high), strict=True)
        ):
            raise ActionError(
                f"The policy acts with {self.action_dim} numbers between {mine[0].tolist()} and "
                f"{mine[1].tolist()}; this world takes {len(low)} between {list(map(float, low))} "
                f"and {list(map(float, high))}. Train one for this world: "
                "`worldmodel policy train world=...`."
            )
