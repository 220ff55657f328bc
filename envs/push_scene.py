"""The Push table as MJCF: walls, a pusher, four slots for objects, two target zones, a camera.

One model serves every scene: a slot holds the geoms of all shapes, and a layout makes one of
them solid and visible. So a reset never compiles a model or opens an OpenGL context.

A slot without an object has nothing to rest on. It is compiled weightless and stays where it is
parked; a layout gives weight to the slots that it fills.
"""

from __future__ import annotations

from typing import Final

from multimodal.language.vocabulary import (
    COLOUR_RGB,
    COLOURS,
    SHAPES,
    TABLE_HALF_M,
    ZONE_RADIUS_M,
)

__all__ = [
    "CAMERA_HEIGHT_M",
    "COLOURS",
    "COLOUR_RGB",
    "OBJECT_INERTIA_KG_M2",
    "OBJECT_MASS_KG",
    "OBJECT_REST_HEIGHT_M",
    "PUSHER_HEIGHT_M",
    "PUSHER_RADIUS_M",
    "PUSHER_SPEED_M_S",
    "SHAPES",
    "SLOTS",
    "TABLE_FRICTION",
    "TABLE_HALF_M",
    "TABLE_RGB",
    "VIEW_DEGREES",
    "ZONES",
    "ZONE_RADIUS_M",
    "push_mjcf",
]

PUSHER_RADIUS_M: Final = 0.017
PUSHER_HEIGHT_M: Final = 0.032
PUSHER_SPEED_M_S: Final = 0.2
OBJECT_REST_HEIGHT_M: Final = 0.0222
CAMERA_HEIGHT_M: Final = 1.2
VIEW_DEGREES: Final = 20.2
OBJECT_MASS_KG: Final = 0.1
OBJECT_INERTIA_KG_M2: Final = 4e-5
TABLE_FRICTION: Final = 0.6
SLOTS: Final = 4
ZONES: Final = 2

TABLE_RGB: Final = (0.80, 0.80, 0.78)

_HALF_HEIGHT_M: Final = 0.022
_SHAPE_GEOMS: Final[dict[str, tuple[str, ...]]] = {
    "cube": (f'type="box" size="0.026 0.026 {_HALF_HEIGHT_M}"',),
    "ball": (
        'type="sphere" size="0.028" pos="0 0 0.006" '
        'priority="1" condim="6" friction="0.4 0.005 0.006"',
    ),
    "triangle": ('type="mesh" mesh="triangle"',),
    "cross": (
        f'type="box" size="0.036 0.012 {_HALF_HEIGHT_M}"',
        f'type="box" size="0.012 0.036 {_HALF_HEIGHT_M}"',
    ),
}


def _triangle_vertices() -> str:
    """An equilateral prism of circumradius 38 mm around its centroid."""
    corners = ((0.0, 0.038), (-0.0329, -0.019), (0.0329, -0.019))
    return " ".join(f"{x} {y} {z}" for z in (-_HALF_HEIGHT_M, _HALF_HEIGHT_M) for x, y in corners)


def _slot(index: int) -> str:
    geoms = "\n".join(
        f'      <geom name="slot{index}_{shape}{part}" class="object" {attributes}/>'
        for shape, parts in _SHAPE_GEOMS.items()
        for part, attributes in enumerate(parts)
    )
    inertia = OBJECT_INERTIA_KG_M2
    return f"""
    <body name="slot{index}" pos="0 0 {_HALF_HEIGHT_M}" gravcomp="1">
      <freejoint name="slot{index}"/>
      <inertial pos="0 0 0" mass="{OBJECT_MASS_KG}" diaginertia="{inertia} {inertia} {inertia}"/>
{geoms}
    </body>"""


def _wall(name: str, x_m: float, y_m: float) -> str:
    half = TABLE_HALF_M + 0.02
    size = f"0.01 {half} 0.02" if x_m else f"{half} 0.01 0.02"
    return (
        f'<geom name="wall_{name}" class="wall" type="box" pos="{x_m} {y_m} 0.02" size="{size}"/>'
    )


def _walls() -> str:
    edge = TABLE_HALF_M + 0.01
    sides = {
        "left": (-edge, 0.0),
        "right": (edge, 0.0),
        "top": (0.0, edge),
        "bottom": (0.0, -edge),
    }
    return "\n    ".join(_wall(name, x, y) for name, (x, y) in sides.items())


def _zones() -> str:
    return "\n    ".join(
        f'<geom name="zone{i}" type="cylinder" size="{ZONE_RADIUS_M} 0.0004" pos="0 0 0.0004" '
        'contype="0" conaffinity="0" group="1"/>'
        for i in range(ZONES)
    )


def _pusher_joints() -> str:
    reach = TABLE_HALF_M - PUSHER_RADIUS_M
    return "\n      ".join(
        f'<joint name="pusher_{axis}" type="slide" axis="{direction}" limited="true" '
        f'range="-{reach} {reach}" solreflimit="0.01 1"/>'
        for axis, direction in (("x", "1 0 0"), ("y", "0 1 0"))
    )


def _actuators() -> str:
    # Without a limit to its force: a servo that runs into one swings about the wanted velocity, and
    # where in the swing it is, which no frame shows, would decide what comes next.
    return "\n    ".join(
        f'<velocity name="pusher_{axis}" joint="pusher_{axis}" kv="40" '
        f'ctrlrange="-{PUSHER_SPEED_M_S} {PUSHER_SPEED_M_S}"/>'
        for axis in "xy"
    )


def push_mjcf(pixels: int, extra: str = "") -> str:
    """The MJCF text of the table.

    Args:
        pixels: side of the square frame, for the offscreen buffer.
        extra: MJCF of whatever else belongs to the world's body.
    """
    edge = TABLE_HALF_M + 0.01
    slots = "".join(_slot(index) for index in range(SLOTS))
    return f"""
<mujoco model="push">
  <option timestep="0.01" integrator="implicitfast" cone="elliptic" impratio="5"/>
  <size memory="4M"/>
  <visual>
    <global offwidth="{pixels}" offheight="{pixels}"/>
    <quality shadowsize="0" offsamples="0" numslices="20" numstacks="10" numquads="1"/>
    <headlight ambient="0.45 0.45 0.45" diffuse="0.3 0.3 0.3" specular="0 0 0"/>
    <map znear="0.2" zfar="3"/>
  </visual>
  <asset>
    <mesh name="triangle" vertex="{_triangle_vertices()}"/>
  </asset>
  <default>
    <default class="object">
      <geom contype="1" conaffinity="1" condim="3" friction="0.15 0.003 0.0001" mass="0"/>
    </default>
    <default class="wall">
      <geom contype="2" conaffinity="1" rgba="0.35 0.33 0.32 1" friction="0.15 0.003 0.0001"/>
    </default>
  </default>
  <worldbody>
    <camera name="top" pos="0 0 {CAMERA_HEIGHT_M}" fovy="{VIEW_DEGREES}"/>
    <light directional="true" pos="0.3 0.3 1.5" dir="-0.35 -0.25 -1" diffuse="0.25 0.25 0.25"
           specular="0 0 0" castshadow="false"/>
    <geom name="table" type="plane" size="{edge} {edge} 0.1" contype="2" conaffinity="1"
          rgba="{TABLE_RGB[0]} {TABLE_RGB[1]} {TABLE_RGB[2]} 1" priority="0"
          friction="{TABLE_FRICTION} 0.01 0.0001"/>
    {_walls()}
    {_zones()}{extra}
    <body name="pusher" pos="0 0 {PUSHER_HEIGHT_M}">
      {_pusher_joints()}
      <geom name="pusher" type="cylinder" size="{PUSHER_RADIUS_M} 0.026" mass="0.3"
            contype="4" conaffinity="1" friction="0.15 0.003 0.0001" rgba="0.12 0.12 0.14 1"/>
    </body>{slots}
  </worldbody>
  <actuator>
    {_actuators()}
  </actuator>
</mujoco>
"""
