"""A MuJoCo simulation as a Gymnasium environment that is seen, named, saved and restored exactly.

Observations are rendered frames. Everything the simulator knows beside them travels in `info`:
named state with units, the goal in words, contacts. A learned environment is measured against
one of these.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.actions import ActionSpace, checked_action
from envs.random_stream import generator_words, restore_generator
from envs.rendering import FrameRenderer, opengl_backend
from multimodal.errors import ConfigError, FrameError, StateError
from multimodal.language.question import Question

opengl_backend()
import mujoco  # noqa: E402  MuJoCo reads MUJOCO_GL at import

__all__ = ["Contact", "Info", "MujocoWorld", "WorldState", "require_arrays"]

Frame = NDArray[np.uint8]
Info = dict[str, Any]


@dataclass(frozen=True)
class Contact:
    """Two geoms that touch.

    Attributes:
        first: name of one geom.
        second: name of the other.
        position_m: where, in world coordinates (3,).
        distance_m: gap between the surfaces; negative is penetration.
    """

    first: str
    second: str
    position_m: tuple[float, float, float]
    distance_m: float


@dataclass(frozen=True)
class WorldState:
    """A world at one instant, as a value: restoring it makes every later frame bit-equal.

    Attributes:
        kind: which world it belongs to.
        arrays: named arrays, among them MuJoCo's full integration state. Treat as read-only.
    """

    kind: str
    arrays: Mapping[str, NDArray[Any]]


def require_arrays(arrays: Mapping[str, NDArray[Any]], names: Iterable[str]) -> None:
    """Check that a saved state is complete.

    Raises:
        StateError: some are missing; names them.
    """
    if missing := set(names) - arrays.keys():
        raise StateError(
            f"The saved state lacks {sorted(missing)}. Pass it on as save_state() gave it."
        )


class MujocoWorld(gym.Env[Frame, NDArray[np.float32]]):
    """Base of the MuJoCo worlds: one model, one camera, exact save and restore.

    A subclass draws scenes in `_reset_scene`, applies actions in `_apply`, and names its state.

    Args:
        model: the compiled MuJoCo model.
        kind: name of the world; a saved state goes back only into a world of the same kind.
        size_px: side of the square frame in pixels, a multiple of 8.
        camera: camera name, id or free camera.
        frame_skip: physics steps for each control step.
        action_space: of `step`.
        state_units: unit of each entry of `named_state`.
        data: the simulation, where it belongs to somebody else already.
        flat: draw without the model's shadows and skybox.
        render_mode: "rgb_array" or None, as Gymnasium has it; observations are frames either way.

    Raises:
        FrameError: a frame size the models cannot use.
    """

    # Gymnasium declares it of the instance, so it cannot be a ClassVar here.
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    action_space: ActionSpace

    def __init__(
        self,
        model: mujoco.MjModel,
        *,
        kind: str,
        size_px: int,
        camera: str | int | mujoco.MjvCamera,
        frame_skip: int,
        action_space: ActionSpace,
        state_units: Mapping[str, str],
        data: mujoco.MjData | None = None,
        flat: bool = True,
        render_mode: str | None = "rgb_array",
    ) -> None:
        if size_px < 16 or size_px % 8:
            raise FrameError(f"size_px must be a multiple of 8 and at least 16, got {size_px}.")
        self.kind = kind
        self.state_units = dict(state_units)
        self.render_mode = render_mode
        self.model = model
        self.data = mujoco.MjData(model) if data is None else data
        self._view = self.data
        self.size_px = size_px
        self.frame_skip = frame_skip
        self.control_dt_s = float(model.opt.timestep * frame_skip)
        self.metadata = {**self.metadata, "render_fps": max(1, round(1 / self.control_dt_s))}
        self.action_space = action_space
        self.observation_space = gym.spaces.Box(0, 255, (size_px, size_px, 3), np.uint8)
        self._camera = camera
        self._flat = flat
        self._renderer: FrameRenderer | None = None
        self._steps = 0

    @abstractmethod
    def _reset_scene(self, options: Mapping[str, Any]) -> None:
        """Draw a new scene from `self.np_random` into `self.data`."""

    @abstractmethod
    def _apply(self, action: NDArray[np.float32]) -> None:
        """Advance `self.data` by one control step under `action`."""

    @abstractmethod
    def _outcome(self) -> tuple[float, bool, bool]:
        """Reward, terminated and truncated at the state just reached."""

    @abstractmethod
    def named_state(self) -> dict[str, NDArray[Any]]:
        """What the simulator knows, by name; units ride on the names and in `state_units`."""

    @abstractmethod
    def _info(self) -> Info:
        """The info dictionary of the state just reached."""

    def captions(self) -> list[str]:
        """Sentences that are true of the current frame."""
        return []

    def questions(self, rng: np.random.Generator) -> list[Question]:
        """Questions about the current frame with their answers, drawn by `rng`."""
        return []

    def _extra_arrays(self) -> dict[str, NDArray[Any]]:
        """What belongs to the state beside MuJoCo's own."""
        return {}

    def _restore_extra(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `_extra_arrays` gave."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, Info]:
        """Draw a new scene, or return to a saved one.

        Args:
            seed: of the scene; the same seed gives the same scene.
            options: `{"state": WorldState}` starts from a saved state; a world may know more.

        Returns:
            frame: uint8 (H, W, 3).
            info: named state, instruction, goal vector, success, contact.

        Raises:
            StateError: a saved state of another world.
            ConfigError: options that the world does not know, or others beside a state.
        """
        super().reset(seed=seed)
        options = options or {}
        self._steps = 0
        if "state" in options:
            if others := sorted(set(options) - {"state"}):
                raise ConfigError(f'A start from "state" takes nothing else, got {others} too.')
            self.restore_state(options["state"])
            self._steps = 0
        else:
            mujoco.mj_resetData(self.model, self.data)
            self._reset_scene(options)
            self._settle_derived()
        return self.render(), self._info()

    def step(self, action: Any) -> tuple[Frame, float, bool, bool, Info]:
        """Advance by one control step.

        Args:
            action: float32 (A,), inside the action space.

        Returns:
            frame uint8 (H, W, 3), reward, terminated, truncated, info.

        Raises:
            ActionError: the action is malformed; the world is left as it was.
        """
        self.advance(action)
        reward, terminated, truncated = self._outcome()
        return self.render(), reward, terminated, truncated, self._info()

    def advance(self, action: Any) -> None:
        """The physics of `step` alone: nothing is drawn, which takes longer than it.

        Args:
            action: float32 (A,), inside the action space.

        Raises:
            ActionError: the action is malformed; the world is left as it was.
        """
        checked = checked_action(action, self.action_space)
        self._apply(checked)
        self._steps += 1
        self._settle_derived()

    def _settle_derived(self) -> None:
        """Recompute what follows from the state, leaving the state itself bit-equal.

        `mj_forward` overwrites the solver's warm start, which is part of the state.
        """
        state = self._integration_state()
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)

    def _integration_state(self) -> NDArray[np.float64]:
        spec = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(self.model, spec))
        mujoco.mj_getState(self.model, self.data, state, spec)
        return state

    def save_state(self) -> WorldState:
        """The world at this instant, as a value."""
        words = np.array(generator_words(self.np_random), dtype=np.uint64)
        arrays = {
            "integration": self._integration_state(),
            "steps": np.array(self._steps),
            "random": words,
            **self._extra_arrays(),
        }
        return WorldState(self.kind, arrays)

    def restore_state(self, state: WorldState) -> None:
        """Return to a saved instant; frames and futures from here are bit-equal.

        Raises:
            StateError: the state is not of this kind of world or has another size.
        """
        if not isinstance(state, WorldState):
            raise StateError(
                f"Expected a WorldState from save_state(), got {type(state).__name__}."
            )
        if state.kind != self.kind:
            raise StateError(
                f"The state belongs to a {state.kind!r} world and this is {self.kind!r}. "
                "Restore it in the world it was saved in."
            )
        require_arrays(state.arrays, ("integration", "steps", "random"))
        vector = np.asarray(state.arrays["integration"], dtype=np.float64)
        spec = mujoco.mjtState.mjSTATE_INTEGRATION
        size = mujoco.mj_stateSize(self.model, spec)
        if vector.shape != (size,) or not np.isfinite(vector).all():
            raise StateError(
                f"The saved integration state must be {size} finite numbers, "
                f"got shape {vector.shape}. It comes from another model or MuJoCo version."
            )
        self._restore_extra(state.arrays)
        mujoco.mj_setState(self.model, self.data, vector, spec)
        self._settle_derived()
        self._steps = int(state.arrays["steps"])
        restore_generator(self.np_random, state.arrays["random"].tolist())

    def render(self) -> Frame:
        """The current frame: uint8 (H, W, 3)."""
        return self._ready_renderer().rgb(self._view)

    def segmentation(self) -> NDArray[np.int32]:
        """The geom id behind every pixel, -1 for none: int32 (H, W); see `segmentation_labels`."""
        return self._ready_renderer().segmentation(self._view)

    def fine_segmentation(self) -> NDArray[np.int32]:
        """The same at the size that frames are drawn at before they are averaged (2H, 2W)."""
        return self._ready_renderer().fine_segmentation(self._view)

    @property
    def segmentation_labels(self) -> dict[int, str]:
        """Name of every geom id that `segmentation` can return."""
        return {index: self._geom_label(index) for index in range(self.model.ngeom)}

    def _geom_label(self, index: int) -> str:
        name: str = self.model.geom(index).name
        return name or f"geom{index}"

    def contacts(self) -> list[Contact]:
        """Which geoms touch at this instant."""
        found = []
        for index in range(self._view.ncon):
            contact = self._view.contact[index]
            x, y, z = (float(value) for value in contact.pos)
            first, second = (self._geom_label(int(geom)) for geom in contact.geom)
            found.append(Contact(first, second, (x, y, z), float(contact.dist)))
        return found

    def _ready_renderer(self) -> FrameRenderer:
        if self._renderer is None:
            self._renderer = FrameRenderer(
                self.model, self.size_px, self.size_px, self._camera, flat=self._flat
            )
        return self._renderer

    def close(self) -> None:
        """Free the OpenGL context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
