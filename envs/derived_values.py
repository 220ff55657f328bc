"""What a MuJoCo simulation computed on its way to the current state, saved and restored.

`mj_step` leaves positions of bodies, forces and the like as they were before its last substep.
Environments read some of them in rewards and observations, so a simulation that is restored to go
on exactly must hold the same values, one substep old as they are.
"""

from __future__ import annotations

from typing import Any, Final

import mujoco
import numpy as np
from numpy.typing import NDArray

from multimodal.errors import StateError

__all__ = ["derived_values", "restore_derived_values"]

_FIELDS: Final[tuple[str, ...]] = (
    *("xpos", "xquat", "xmat", "xipos", "ximat", "xanchor", "xaxis", "geom_xpos", "geom_xmat"),
    *("site_xpos", "site_xmat", "cam_xpos", "cam_xmat", "subtree_com", "cdof", "cinert"),
    *("ten_length", "actuator_length", "cvel", "cdof_dot", "subtree_linvel", "subtree_angmom"),
    *("qfrc_bias", "qfrc_passive", "qfrc_actuator", "qfrc_smooth", "qfrc_constraint"),
    *("qfrc_inverse", "actuator_force", "actuator_velocity", "sensordata", "qacc", "qacc_smooth"),
    *("cacc", "cfrc_int", "cfrc_ext", "energy"),
)


def derived_values(data: mujoco.MjData) -> NDArray[np.float64]:
    """All derived values as one vector."""
    return np.concatenate([np.ravel(getattr(data, name)) for name in _FIELDS])


def restore_derived_values(data: mujoco.MjData, values: NDArray[Any]) -> None:
    """Undo `derived_values`.

    Raises:
        StateError: the vector is not of this model.
    """
    sizes = [getattr(data, name).size for name in _FIELDS]
    values = np.asarray(values)
    if values.shape != (sum(sizes),):
        raise StateError(
            f"The saved state's derived values must be {sum(sizes)} numbers, got shape "
            f"{values.shape}. It comes from another model or MuJoCo version."
        )
    for name, part in zip(_FIELDS, np.split(values, np.cumsum(sizes)[:-1]), strict=True):
        field = getattr(data, name)
        field[...] = part.reshape(field.shape)
