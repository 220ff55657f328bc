"""`worldmodel/Push-v0`: push coloured objects about a table with a velocity-driven pusher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import gymnasium as gym
import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.mujoco_world import Info, MujocoWorld, require_arrays
from envs.push_goals import WALLS, PushGoal
from envs.push_scene import (
    COLOUR_RGB,
    COLOURS,
    OBJECT_INERTIA_KG_M2,
    OBJECT_MASS_KG,
    OBJECT_REST_HEIGHT_M,
    PUSHER_SPEED_M_S,
    SHAPES,
    SLOTS,
    TABLE_FRICTION,
    TABLE_HALF_M,
    TABLE_RGB,
    ZONE_RADIUS_M,
    ZONES,
    push_mjcf,
)
from envs.rendering import SUPERSAMPLING
from multimodal.errors import ConfigError
from multimodal.language import STILL_KINDS, Question, Scene, ask

__all__ = ["PushWorld"]

_OBJECT_RADIUS_M = 0.04
_PARKED_M = 5.0
_STATE_UNITS = {
    "pusher_position_m": "m",
    "pusher_velocity_m_s": "m/s",
    "object_position_m": "m",
    "object_velocity_m_s": "m/s",
    "object_yaw_rad": "rad",
    "object_present": "1",
    "object_shape": "index into SHAPES",
    "object_colour": "index into COLOURS",
    "zone_position_m": "m",
    "zone_colour": "index into COLOURS",
}


class PushWorld(MujocoWorld):
    """A walled table, a pusher, one to four objects of distinct colours, two target zones.

    Mass and friction cannot be seen, so they are the same in every scene unless `randomise`.

    Args:
        objects: how many objects, 1 to 4, or a (low, high) pair drawn for each scene.
        size_px: side of the frame, 64 or 128 (any multiple of 8 works).
        reward: "dense" (distance shaped, plus 1 on success) or "sparse" (1 on success).
        randomise: draw mass and friction for each scene.
        max_steps: truncation; 0 never truncates.
        terminate_on_success: False goes on after the goal is reached, for recording.

    Raises:
        ConfigError: an option out of range.
    """

    KIND: ClassVar[str] = "push"
    STATE_UNITS: ClassVar[Mapping[str, str]] = _STATE_UNITS

    def __init__(
        self,
        objects: int | Sequence[int] = 3,
        size_px: int = 64,
        reward: Literal["dense", "sparse"] = "dense",
        *,
        randomise: bool = False,
        max_steps: int = 200,
        terminate_on_success: bool = True,
        render_mode: str | None = "rgb_array",
    ) -> None:
        low, high = (objects, objects) if isinstance(objects, int) else (objects[0], objects[-1])
        if not 1 <= low <= high <= SLOTS:
            raise ConfigError(f"objects must be 1 to {SLOTS} (or a pair), got {objects!r}.")
        if reward not in ("dense", "sparse"):
            raise ConfigError(f'reward must be "dense" or "sparse", got {reward!r}.')
        super().__init__(
            mujoco.MjModel.from_xml_string(self._mjcf(SUPERSAMPLING * size_px)),
            kind=self.KIND,
            size_px=size_px,
            camera="top",
            frame_skip=10,
            action_space=gym.spaces.Box(-1.0, 1.0, (2,), np.float32),
            state_units=self.STATE_UNITS,
            render_mode=render_mode,
        )
        self._counts = (low, high)
        self._reward_kind = reward
        self._randomise = randomise
        self._max_steps = max_steps
        self._terminate = terminate_on_success
        self._solid = (self.model.geom_contype.copy(), self.model.geom_conaffinity.copy())
        self._slot_geoms = [
            [self._geoms_of(slot, shape) for shape in range(len(SHAPES))] for slot in range(SLOTS)
        ]
        self._slot_bodies = np.array([self.model.body(f"slot{i}").id for i in range(SLOTS)])
        self._zone_geoms = np.array([self.model.geom(f"zone{i}").id for i in range(ZONES)])
        self._pusher_geom = int(self.model.geom("pusher").id)
        self._object_geoms = {geom for slot in self._slot_geoms for s in slot for geom in s}
        self._colours = np.full(SLOTS, -1)
        self._shapes = np.full(SLOTS, -1)
        self._zone_colours = np.zeros(ZONES, np.int64)
        self.goal = PushGoal(0, 0, 0, -1, 0)

    def _mjcf(self, pixels: int) -> str:
        """The table as MJCF; a world with more on it adds to it here."""
        return push_mjcf(pixels)

    def _geoms_of(self, slot: int, shape: int) -> list[int]:
        prefix = f"slot{slot}_{SHAPES[shape]}"
        return [g for g in range(self.model.ngeom) if self.model.geom(g).name.startswith(prefix)]

    # Scene ------------------------------------------------------------------------------------

    def _reset_scene(self, options: Mapping[str, Any]) -> None:
        if options:
            raise ConfigError(
                f'reset knows the option "state" alone, got {sorted(options)}. What scenes hold is '
                "chosen when the world is made, as in PushWorld(objects=2)."
            )
        count = int(self.np_random.integers(self._counts[0], self._counts[1] + 1))
        while True:
            self._colours[:] = -1
            self._shapes[:] = -1
            self._colours[:count] = self.np_random.permutation(len(COLOURS))[:count]
            self._shapes[:count] = self.np_random.integers(len(SHAPES), size=count)
            self._zone_colours = self.np_random.permutation(len(COLOURS))[:ZONES]
            zones_m = self._scatter(ZONES, TABLE_HALF_M - ZONE_RADIUS_M, 2.2 * ZONE_RADIUS_M)
            placed_m = self._scatter(count + 1, TABLE_HALF_M - 0.05, 2.05 * _OBJECT_RADIUS_M)
            self._show_layout(zones_m)
            self._place(placed_m)
            goals = self._open_goals(count)
            if goals:
                break
        self.goal = goals[int(self.np_random.integers(len(goals)))]
        if self._randomise:
            self._draw_hidden_physics()
        else:
            # A restored state may have brought others.
            self._set_hidden_physics(np.ones(SLOTS), TABLE_FRICTION)

    def _scatter(self, count: int, reach_m: float, apart_m: float) -> NDArray[np.float64]:
        """`count` points (count, 2) at least `apart_m` from each other, by rejection."""
        while True:
            points = self.np_random.uniform(-reach_m, reach_m, (count, 2))
            gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
            if (gaps[np.triu_indices(count, 1)] > apart_m).all():
                return points

    def _show_layout(self, zones_m: NDArray[np.float64]) -> None:
        """Make each slot's shape solid and coloured, hide the others, paint the zones."""
        model = self.model
        for slot in range(SLOTS):
            for shape, geoms in enumerate(self._slot_geoms[slot]):
                on = shape == self._shapes[slot]
                model.geom_contype[geoms] = self._solid[0][geoms] if on else 0
                model.geom_conaffinity[geoms] = self._solid[1][geoms] if on else 0
                rgb = COLOUR_RGB[COLOURS[self._colours[slot]]]
                model.geom_rgba[geoms] = (*rgb, 1.0 if on else 0.0)
            model.body_gravcomp[self._slot_bodies[slot]] = float(self._shapes[slot] < 0)
        for geom, colour, position in zip(
            self._zone_geoms, self._zone_colours, zones_m, strict=True
        ):
            tint = 0.45 * np.array(COLOUR_RGB[COLOURS[colour]]) + 0.55 * np.array(TABLE_RGB)
            model.geom_rgba[geom] = (*tint, 1.0)
            model.geom_pos[geom][:2] = position

    def _place(self, placed_m: NDArray[np.float64]) -> None:
        """Put the pusher at the last point and the objects, turned at random, at the others."""
        self.data.qpos[:2] = placed_m[-1]
        for slot in range(SLOTS):
            present = self._shapes[slot] >= 0
            yaw = self.np_random.uniform(-np.pi, np.pi)
            pose = self.data.qpos[2 + 7 * slot : 9 + 7 * slot]
            pose[:2] = placed_m[slot] if present else (_PARKED_M + slot, _PARKED_M)
            pose[2:] = (OBJECT_REST_HEIGHT_M, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))

    def _open_goals(self, count: int) -> list[PushGoal]:
        """Every goal of this scene that is not reached already."""
        phrase = int(self.np_random.integers(6))
        places = [(int(colour), -1) for colour in self._zone_colours]
        places += [(-1, wall) for wall in range(len(WALLS))]
        goals = [
            PushGoal(int(self._colours[slot]), int(self._shapes[slot]), zone, wall, phrase)
            for slot in range(count)
            for zone, wall in places
        ]
        return [goal for goal in goals if not goal.reached(self._goal_distance_m(goal) - 0.03)]

    def _draw_hidden_physics(self) -> None:
        """Mass ×0.5–2 for each object, table friction 0.3–0.9."""
        scale = 2.0 ** self.np_random.uniform(-1, 1, SLOTS)
        self._set_hidden_physics(scale, self.np_random.uniform(0.3, 0.9))

    def _set_hidden_physics(self, mass_scale: NDArray[np.float64], friction: float) -> None:
        self.model.body_mass[self._slot_bodies] = OBJECT_MASS_KG * mass_scale
        self.model.body_inertia[self._slot_bodies] = OBJECT_INERTIA_KG_M2 * mass_scale[:, None]
        self.model.geom("table").friction[0] = friction

    # Physics ----------------------------------------------------------------------------------

    def _apply(self, action: NDArray[np.float32]) -> None:
        self.data.ctrl[:] = action * PUSHER_SPEED_M_S
        mujoco.mj_step(self.model, self.data, self.frame_skip)

    def _object_positions_m(self) -> NDArray[np.float64]:
        return np.array(self.data.qpos[2:].reshape(SLOTS, 7)[:, :2])

    def slot_of(self, colour: int) -> int:
        """The slot whose object has this colour index, -1 for none."""
        found = np.flatnonzero(self._colours == colour)
        return int(found[0]) if len(found) else -1

    def place_m(self, goal: PushGoal) -> NDArray[np.float64]:
        """A point (2,) at which `goal` is reached: the zone's centre, or before the wall."""
        if goal.wall < 0:
            zone = int(np.flatnonzero(self._zone_colours == goal.zone_colour)[0])
            return np.array(self.model.geom_pos[self._zone_geoms[zone]][:2])
        point: NDArray[np.float64] = self._object_positions_m()[self.slot_of(goal.colour)]
        axis, sign = ((0, -1), (0, 1), (1, 1), (1, -1))[goal.wall]
        point[axis] = sign * (TABLE_HALF_M - 0.03)
        return point

    def _goal_distance_m(self, goal: PushGoal) -> float:
        position = self._object_positions_m()[self.slot_of(goal.colour)]
        return goal.distance_m(position, self.place_m(goal))

    def _outcome(self) -> tuple[float, bool, bool]:
        distance_m = self._goal_distance_m(self.goal)
        success = self.goal.reached(distance_m)
        reward = float(success)
        if self._reward_kind == "dense":
            position = self._object_positions_m()[self.slot_of(self.goal.colour)]
            approach_m = float(np.linalg.norm(position - self.data.qpos[:2]))
            reward -= distance_m / TABLE_HALF_M + 0.25 * approach_m / TABLE_HALF_M
        truncated = self._max_steps > 0 and self._steps >= self._max_steps
        return reward, success and self._terminate, truncated

    def touching(self) -> bool:
        """Whether the pusher touches an object at this instant."""
        pairs = self.data.contact.geom[: self.data.ncon]
        rows = pairs[(pairs == self._pusher_geom).any(axis=1)]
        return any(int(geom) in self._object_geoms for geom in rows.ravel())

    # What is known ----------------------------------------------------------------------------

    def named_state(self) -> dict[str, NDArray[Any]]:
        """Positions, velocities and identities of pusher, objects and zones; SI units.

        Absent slots hold zeros and the identity -1: `object_present` tells them apart.
        """
        present = self._shapes >= 0
        poses = self.data.qpos[2:].reshape(SLOTS, 7)
        yaw = 2 * np.arctan2(poses[:, 6], poses[:, 3])
        velocity = self.data.qvel[2:].reshape(SLOTS, 6)[:, :2]
        return {
            "pusher_position_m": self.data.qpos[:2].copy(),
            "pusher_velocity_m_s": self.data.qvel[:2].copy(),
            "object_position_m": np.where(present[:, None], poses[:, :2], 0.0),
            "object_velocity_m_s": np.where(present[:, None], velocity, 0.0),
            "object_yaw_rad": np.where(present, np.mod(yaw + np.pi, 2 * np.pi) - np.pi, 0.0),
            "object_present": present.copy(),
            "object_shape": self._shapes.copy(),
            "object_colour": self._colours.copy(),
            "zone_position_m": self.model.geom_pos[self._zone_geoms][:, :2].copy(),
            "zone_colour": self._zone_colours.astype(np.int64),
        }

    def _info(self) -> Info:
        return {
            "state": self.named_state(),
            "instruction": self.goal.instruction(),
            "goal": self.goal.vector(),
            "success": self.goal.reached(self._goal_distance_m(self.goal)),
            "contact": self.touching(),
        }

    def captions(self) -> list[str]:
        """What is on the table, and where each object lies."""
        slots = [slot for slot in range(SLOTS) if self._shapes[slot] >= 0]
        names = [f"{COLOURS[self._colours[s]]} {SHAPES[self._shapes[s]]}" for s in slots]
        positions = self._object_positions_m()
        sentences = [f"a table with {', '.join(f'a {name}' for name in names)}"]
        for slot, name in zip(slots, names, strict=True):
            x, y = positions[slot]
            across = "left" if x < 0 else "right"
            along = "top" if y > 0 else "bottom"
            sentences.append(f"the {name} is at the {along} {across} of the table")
        return sentences

    def questions(self, rng: np.random.Generator) -> list[Question]:
        """One question of every kind that the current frame answers."""
        scene = Scene.from_state(self.named_state())
        asked = [ask(kind, [scene], rng, split="any") for kind in STILL_KINDS]
        return [question for question in asked if question is not None]

    # Saving -----------------------------------------------------------------------------------

    def _extra_arrays(self) -> dict[str, NDArray[Any]]:
        model = self.model
        return {
            "colours": self._colours.copy(),
            "shapes": self._shapes.copy(),
            "zone_colours": self._zone_colours.copy(),
            "zones_m": model.geom_pos[self._zone_geoms][:, :2].copy(),
            "goal": self.goal.array(),
            "masses_kg": model.body_mass[self._slot_bodies].copy(),
            "inertias": model.body_inertia[self._slot_bodies].copy(),
            "table_friction": model.geom("table").friction.copy(),
        }

    def _restore_extra(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        require_arrays(arrays, self._extra_arrays())
        goal = PushGoal.from_array(arrays["goal"])
        self._colours = np.array(arrays["colours"])
        self._shapes = np.array(arrays["shapes"])
        self._zone_colours = np.array(arrays["zone_colours"])
        self._show_layout(np.asarray(arrays["zones_m"]))
        self.goal = goal
        self.model.body_mass[self._slot_bodies] = arrays["masses_kg"]
        self.model.body_inertia[self._slot_bodies] = arrays["inertias"]
        self.model.geom("table").friction[:] = arrays["table_friction"]

    def _geom_label(self, index: int) -> str:
        """Objects are labelled by colour and shape, everything else by its geom name."""
        name = super()._geom_label(index)
        if name.startswith("slot"):
            slot = int(name[4])
            if self._shapes[slot] < 0 or not name[6:].startswith(SHAPES[self._shapes[slot]]):
                return "hidden"
            return f"{COLOURS[self._colours[slot]]} {SHAPES[self._shapes[slot]]}"
        if name.startswith("zone"):
            return f"{COLOURS[self._zone_colours[int(name[4])]]} zone"
        return name
