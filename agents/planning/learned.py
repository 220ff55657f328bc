"""The learned simulator as a place to try actions out."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from agents.planning.bodies import Bodies, read_bodies
from agents.planning.carried import CarriedBodies
from envs.gap.probe import StateProbe
from multimodal.errors import StateError
from worldmodel.device import choose_compute
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.rollout_state import RolloutState

__all__ = ["LearnedModel"]


class LearnedModel:
    """Imagines with a `WorldModelPipeline`, starting from the frames last seen.

    Args:
        pipeline: the world model.
        probe: reads positions off its frames.
        context: real frames that a start is built from; more than one tell how fast things move.
        dtype: of the matrix products of imagined steps; None takes what this machine is fastest
            in. In bfloat16 positions move by a third of a millimetre, less than the probe is off
            by, and a plan takes two thirds of the time.
    """

    def __init__(
        self,
        pipeline: WorldModelPipeline,
        probe: StateProbe,
        context: int = 3,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.probe = probe
        self._carried: CarriedBodies | None = None
        # Asked for at every imagined step, where diffusers would look through all modules.
        self._device_type = pipeline.device.type
        self._dtype = choose_compute().dtype if dtype is None else dtype
        self._frames: deque[NDArray[np.uint8]] = deque(maxlen=context)
        self._actions: deque[NDArray[np.float32]] = deque(maxlen=context - 1)

    def observe(self, frame: NDArray[np.uint8], action: NDArray[np.float32] | None) -> None:
        """Take in a real frame (H, W, 3) and the action that led to it; None begins anew."""
        if action is None:
            self._frames.clear()
            self._actions.clear()
        elif self._frames:
            self._actions.append(np.asarray(action, np.float32))
        self._frames.append(frame)

    def reset(self) -> RolloutState:
        """The present.

        Raises:
            StateError: nothing was observed yet.
        """
        if not self._frames:
            raise StateError("The model has seen no frame; call observe(frame, None) first.")
        self._device_type = self.pipeline.device.type
        frames = np.stack(self._frames)[None]
        actions = np.stack(self._actions)[None] if len(frames[0]) > 1 else None
        state = self.pipeline.reset(frames, actions)
        self._carried = None
        if state.layered is not None:
            seen = read_bodies(self.probe, frames[:, -1])[0]
            scale = 2 * float(self.probe.config["extent_m"]) / self.pipeline.frame_shape[0]
            self._carried = CarriedBodies.of(seen, state.layered, scale)
        return state

    def clone(self, state: RolloutState, lanes: int) -> RolloutState:
        """One lane, `lanes` times."""
        return state.select([0] * lanes)

    def step(self, state: RolloutState, actions_NA: NDArray[np.float32]) -> RolloutState:
        """All lanes one step further; frames are drawn only where they have to be read."""
        with self._fast():
            actions = torch.from_numpy(actions_NA)
            return self.pipeline.advance(state, actions, draw=self._carried is None)

    def read(self, state: RolloutState) -> Bodies:
        """Where everything is in the present frames.

        A model that carries layers knows it; otherwise the frames are drawn and read.
        """
        if state.layered is not None and self._carried is not None:
            return self._carried.bodies(state.layered)
        with self._fast():
            return read_bodies(self.probe, self.pipeline.render(state))

    @contextmanager
    def _fast(self) -> Iterator[None]:
        lower = self._dtype != torch.float32
        with (
            warnings.catch_warnings(),
            torch.autocast(self._device_type, self._dtype, enabled=lower),
        ):
            # Norms stay in float32, which is what it warns of.
            warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight")
            yield
