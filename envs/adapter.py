"""Any Gymnasium MuJoCo environment with the interface of our own worlds.

It gives frames, named state, exact save and restore, contacts and segmentation. The simulation
itself runs untouched: rewards and observations are bit-equal to those of the environment alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import gymnasium as gym
import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.derived_values import derived_values, restore_derived_values
from envs.mujoco_world import Info, MujocoWorld, require_arrays
from envs.named_joints import joint_state, joint_units
from envs.rendering import SUPERSAMPLING
from multimodal.errors import ConfigError

__all__ = ["GymnasiumWorld", "View", "make_world"]


@dataclass(frozen=True)
class View:
    """Where an environment is looked at from, and its task in words.

    Attributes:
        instruction: the task, in the imperative.
        lookat_m: the point in the middle of the frame.
        distance_m: of the camera from that point.
        azimuth_deg: direction of view around the vertical.
        elevation_deg: -90 looks straight down.
    """

    instruction: str
    lookat_m: tuple[float, float, float]
    distance_m: float
    azimuth_deg: float = 90.0
    elevation_deg: float = -90.0


# Gymnasium's own cameras are set for a window of 480 px: at 64 px a fingertip would vanish.
_VIEWS: dict[str, View] = {
    "Reacher": View("bring the fingertip to the red target", (0.0, 0.0, 0.0), 0.56),
    "Pusher": View("push the white cylinder onto the red disc", (0.35, -0.2, -0.2), 1.8, 90, -65),
    "InvertedPendulum": View("keep the pole upright", (0.0, 0.0, 0.2), 2.9, 90, 0),
    "InvertedDoublePendulum": View("keep both poles upright", (0.0, 0.0, 0.4), 3.0, 90, 0),
}
_INSTRUCTIONS: dict[str, str] = {
    "Ant": "walk to the right as fast as you can",
    "HalfCheetah": "run to the right as fast as you can",
    "Hopper": "hop to the right without falling",
    "Humanoid": "walk to the right without falling",
    "HumanoidStandup": "stand up",
    "Swimmer": "swim to the right as fast as you can",
    "Walker2d": "walk to the right without falling",
}

_ATTRIBUTE = "attribute:"
_PLAIN_WRAPPERS = (
    gym.wrappers.OrderEnforcing,
    gym.wrappers.PassiveEnvChecker,
    gym.wrappers.TimeLimit,
)


class GymnasiumWorld(MujocoWorld):
    """A Gymnasium MuJoCo environment seen through our renderer.

    Args:
        env_id: id of the environment, such as "Reacher-v5", or an instance, which this world then
            owns. Anything whose unwrapped form has MuJoCo's `model` and `data` will do.
        size_px: side of the frame, a multiple of 8.
        camera: name or id of a camera of the model, a `mujoco.MjvCamera`, or None for one that
            shows the scene well at a small size.
        max_steps: truncation; None takes the environment's own limit, 0 never truncates.
        instruction: the task in words; None takes the one known for the id, else "".
        flat: False draws the model's shadows, reflections and skybox, at several times the cost.
        env_options: keyword arguments of the environment.

    Raises:
        ConfigError: not a MuJoCo environment, or an instance whose wrappers change what it is.
        FrameError: a frame size the models cannot use.
    """

    def __init__(
        self,
        env_id: str | gym.Env[Any, Any] = "Reacher-v5",
        size_px: int = 64,
        *,
        camera: str | int | mujoco.MjvCamera | None = None,
        max_steps: int | None = None,
        instruction: str | None = None,
        flat: bool = True,
        render_mode: str | None = "rgb_array",
        **env_options: Any,
    ) -> None:
        self._env, limit = _opened(env_id, env_options)
        model, space = self._env.model, self._env.action_space
        name = self._env.spec.id if self._env.spec else type(self._env).__name__
        self._task = name.rpartition("/")[2].rpartition("-v")[0] or name
        model.vis.global_.offwidth = SUPERSAMPLING * size_px
        model.vis.global_.offheight = SUPERSAMPLING * size_px
        if flat:
            _light_evenly(model)
        options = f" {sorted(env_options.items())}" if env_options else ""
        super().__init__(
            model,
            kind=name + options,
            size_px=size_px,
            camera=_camera(model, self._task) if camera is None else camera,
            frame_skip=int(getattr(self._env, "frame_skip", 1)),
            action_space=space,
            state_units={**joint_units(model), "observation": "the environment's own"},
            data=self._env.data,
            flat=flat,
            render_mode=render_mode,
        )
        # Frames and contacts come from a copy: recomputing what follows from the state within the
        # environment's own data would change rewards that difference positions across a step.
        self._view = mujoco.MjData(model)
        self._max_steps = limit if max_steps is None else max_steps
        self._instruction = _instruction(self._task) if instruction is None else instruction
        self._observation: NDArray[np.float64] = np.zeros(0)
        self._last: tuple[float, bool, bool, Info] = (0.0, False, False, {})

    @property
    def environment(self) -> gym.Env[Any, Any]:
        """The environment inside, unwrapped. Step this world, not that."""
        return cast("gym.Env[Any, Any]", self._env)

    def _reset_scene(self, options: Mapping[str, Any]) -> None:
        self._env.np_random = self.np_random
        observation, info = self._env.reset(options=dict(options) or None)
        self._observation = _flat(observation)
        self._last = (0.0, False, False, info)

    def _apply(self, action: NDArray[np.float32]) -> None:
        observation, reward, terminated, truncated, info = self._env.step(action)
        self._observation = _flat(observation)
        self._last = (float(reward), bool(terminated), bool(truncated), info)

    def _settle_derived(self) -> None:
        spec = mujoco.mjtState.mjSTATE_INTEGRATION
        mujoco.mj_setState(self.model, self._view, self._integration_state(), spec)
        mujoco.mj_forward(self.model, self._view)

    def _outcome(self) -> tuple[float, bool, bool]:
        reward, terminated, truncated, _ = self._last
        return reward, terminated, truncated or 0 < self._max_steps <= self._steps

    def named_state(self) -> dict[str, NDArray[Any]]:
        """Joint positions and velocities by joint name, and the environment's own observation."""
        return {
            **joint_state(self.model, self.data),
            "observation": self._observation.copy(),
        }

    def _info(self) -> Info:
        own = dict(self._last[3])
        return {
            "state": self.named_state(),
            "instruction": self._instruction,
            "goal": np.zeros(0, np.float32),
            "success": bool(own.get("is_success", own.get("success", False))),
            "contact": bool(self._view.ncon),
            "environment": own,
        }

    def captions(self) -> list[str]:
        """One sentence: which environment this is."""
        return [f"the {self._task} environment"]

    def _extra_arrays(self) -> dict[str, NDArray[Any]]:
        reward, terminated, truncated, _ = self._last
        return {
            "derived": derived_values(self.data),
            "observation": self._observation.copy(),
            "outcome": np.array([reward, terminated, truncated], np.float64),
            **{_ATTRIBUTE + name: value.copy() for name, value in _numbers(self._env).items()},
        }

    def _restore_extra(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        require_arrays(arrays, ("derived", "observation", "outcome"))
        restore_derived_values(self.data, arrays["derived"])
        for key, value in arrays.items():
            if key.startswith(_ATTRIBUTE):
                name = key.removeprefix(_ATTRIBUTE)
                setattr(self._env, name, value.copy() if value.ndim else value.item())
        self._env.np_random = self.np_random
        self._observation = np.array(arrays["observation"])
        reward, terminated, truncated = arrays["outcome"]
        self._last = (float(reward), bool(terminated), bool(truncated), {})

    def close(self) -> None:
        """Free the OpenGL context and close the environment inside."""
        super().close()
        self._env.close()


def make_world(world_id: str, size_px: int = 64, **options: Any) -> MujocoWorld:
    """A MuJoCo world by its Gymnasium id, whether it is one of ours or has to be adapted.

    Args:
        world_id: such as "worldmodel/Push-v0" or "Reacher-v5".
        size_px: side of the frame.
        options: keyword arguments of the world.

    Returns:
        The world, unwrapped.

    Raises:
        ConfigError: the id is unknown or not a MuJoCo environment, or it lacks such options.
    """
    if not world_id.startswith("worldmodel/"):
        return GymnasiumWorld(world_id, size_px, **options)
    try:
        world = gym.make(world_id, size_px=size_px, disable_env_checker=True, **options).unwrapped
    except (gym.error.Error, TypeError) as error:
        raise ConfigError(f"{world_id!r} cannot be made with {options}: {error}") from error
    if not isinstance(world, MujocoWorld):
        raise ConfigError(f"{world_id!r} is a {type(world).__name__}, not a MuJoCo world.")
    return world


def _opened(env: str | gym.Env[Any, Any], options: Mapping[str, Any]) -> tuple[Any, int]:
    """The unwrapped environment and its step limit, 0 for none."""
    if isinstance(env, str):
        try:
            spec = gym.spec(env)
            limit = spec.max_episode_steps or 0
            env = gym.make(env, disable_env_checker=True, max_episode_steps=-1, **options)
        except (gym.error.Error, TypeError) as error:
            raise ConfigError(f"{env!r} cannot be made with {dict(options)}: {error}") from error
    else:
        if options:
            raise ConfigError(f"{sorted(options)} cannot be given beside an instance.")
        limit = (env.spec.max_episode_steps or 0) if env.spec else 0
    layer: gym.Env[Any, Any] = env
    while isinstance(layer, gym.Wrapper):
        if not isinstance(layer, _PLAIN_WRAPPERS):
            raise ConfigError(
                f"The wrapper {type(layer).__name__} would be passed by: give the environment "
                "without it, and wrap the GymnasiumWorld instead."
            )
        layer = layer.env
    inner = env.unwrapped
    if isinstance(inner, MujocoWorld):
        raise ConfigError(f"{type(inner).__name__} is a MuJoCo world already: use it as it is.")
    if not isinstance(getattr(inner, "model", None), mujoco.MjModel):
        raise ConfigError(f"{inner} has no MuJoCo model: only MuJoCo environments can be adapted.")
    if not isinstance(inner.action_space, gym.spaces.Box):
        raise ConfigError(f"The action space must be a Box, {inner} has {inner.action_space}.")
    return inner, limit


def _light_evenly(model: mujoco.MjModel) -> None:
    """No multisampling, and a headlight that shows models which bring no light of their own."""
    model.vis.quality.offsamples = 0
    model.vis.headlight.ambient[:] = 0.4
    model.vis.headlight.diffuse[:] = 0.4
    model.vis.headlight.specular[:] = 0.0


def _camera(model: mujoco.MjModel, task: str) -> str | int | mujoco.MjvCamera:
    """A camera that shows the scene: the known view, the tracking camera, or the model's own."""
    if task in _VIEWS:
        view, camera = _VIEWS[task], mujoco.MjvCamera()
        camera.lookat[:] = view.lookat_m
        camera.distance = view.distance_m
        camera.azimuth = view.azimuth_deg
        camera.elevation = view.elevation_deg
        return camera
    names = [model.camera(index).name for index in range(model.ncam)]
    return "track" if "track" in names else -1


def _instruction(task: str) -> str:
    return _VIEWS[task].instruction if task in _VIEWS else _INSTRUCTIONS.get(task, "")


def _flat(observation: Any) -> NDArray[np.float64]:
    """An observation as one vector; the entries of a dictionary follow each other by key."""
    if isinstance(observation, Mapping):
        return np.concatenate([_flat(observation[key]) for key in sorted(observation)])
    return np.array(observation, dtype=np.float64).ravel()


def _numbers(env: Any) -> dict[str, NDArray[Any]]:
    """The numeric attributes an environment keeps in Python, such as a goal or a counter."""
    kept = {}
    for name, value in vars(env).items():
        if isinstance(value, (bool, int, float, np.ndarray, np.number)):
            array = np.asarray(value)
            if array.dtype.kind in "biuf":
                kept[name] = array
    return kept
