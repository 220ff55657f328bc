"""A MuJoCo state by the names of its joints, in SI units."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

__all__ = ["joint_state", "joint_units"]

_FREE, _BALL, _SLIDE = (
    int(kind)
    for kind in (
        mujoco.mjtJoint.mjJNT_FREE,
        mujoco.mjtJoint.mjJNT_BALL,
        mujoco.mjtJoint.mjJNT_SLIDE,
    )
)
_Part = tuple[str, str, str, slice]


def _parts(model: mujoco.MjModel) -> list[_Part]:
    """For each named quantity: name, unit, "qpos" or "qvel", and where it lies therein."""
    parts: list[_Part] = []
    for index in range(model.njnt):
        joint = model.joint(index)
        name = joint.name or f"joint{index}"
        q, v, kind = int(joint.qposadr[0]), int(joint.dofadr[0]), int(joint.type[0])
        if kind == _FREE:
            parts += [
                (f"{name}_position_m", "m", "qpos", slice(q, q + 3)),
                (f"{name}_quaternion_wxyz", "1", "qpos", slice(q + 3, q + 7)),
                (f"{name}_velocity_m_s", "m/s", "qvel", slice(v, v + 3)),
                (f"{name}_velocity_rad_s", "rad/s", "qvel", slice(v + 3, v + 6)),
            ]
        elif kind == _BALL:
            parts += [
                (f"{name}_quaternion_wxyz", "1", "qpos", slice(q, q + 4)),
                (f"{name}_velocity_rad_s", "rad/s", "qvel", slice(v, v + 3)),
            ]
        else:
            unit = "m" if kind == _SLIDE else "rad"
            parts += [
                (f"{name}_position_{unit}", unit, "qpos", slice(q, q + 1)),
                (f"{name}_velocity_{unit}_s", f"{unit}/s", "qvel", slice(v, v + 1)),
            ]
    return parts


def joint_units(model: mujoco.MjModel) -> dict[str, str]:
    """The unit of every entry of `joint_state`."""
    return {name: unit for name, unit, _, _ in _parts(model)}


def joint_state(model: mujoco.MjModel, data: mujoco.MjData) -> dict[str, NDArray[Any]]:
    """Position and velocity of every joint.

    Args:
        model: the model.
        data: the simulation.

    Returns:
        Float64 arrays named `JOINT_position_m`, `_rad` (hinge), `_quaternion_wxyz` (ball, free) and
        `JOINT_velocity_m_s`, `_rad_s`; a nameless joint is called by its index.
    """
    return {
        name: np.array(getattr(data, source)[where], np.float64)
        for name, _, source, where in _parts(model)
    }
