"""Which offscreen OpenGL draws the frames, and the renderer tuned for small frames on a CPU."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import RenderingError

__all__ = ["SUPERSAMPLING", "FrameRenderer", "opengl_backend"]

SUPERSAMPLING = 2

INSTALL_HINT = (
    "Install one of them and try again: `apt-get install libegl1 libgl1` (EGL, hardware or Mesa) "
    "or `apt-get install libosmesa6` (OSMesa, software)."
)


def _egl_initialises() -> bool:
    """Whether libEGL loads and initialises a display without a screen."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
        ctypes.CDLL("libGL.so.1")
    except OSError:
        return False
    os.environ.setdefault("EGL_PLATFORM", "surfaceless")
    egl.eglGetDisplay.restype = ctypes.c_void_p
    egl.eglGetDisplay.argtypes = [ctypes.c_void_p]
    egl.eglInitialize.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    display = egl.eglGetDisplay(None)
    return bool(display) and bool(egl.eglInitialize(display, None, None))


def _osmesa_loads() -> bool:
    """Whether the software rasteriser's library is there."""
    for name in ("libOSMesa.so", "libOSMesa.so.8", "libOSMesa.so.6"):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


def _make_mujoco_use(backend: str) -> None:
    """Set `MUJOCO_GL`, also where MuJoCo is imported already: it reads it once, at import."""
    os.environ["MUJOCO_GL"] = backend
    for name in ("mujoco.rendering.classic.gl_context", "mujoco.gl_context"):
        if name in sys.modules:
            importlib.reload(sys.modules[name])


def opengl_backend() -> str:
    """Choose EGL, else OSMesa, and make MuJoCo use it; `MUJOCO_GL` set by the user wins.

    Returns:
        The value of `MUJOCO_GL` in force: "egl", "osmesa" or what the user set. On macOS and
        Windows MuJoCo's own default is kept and "native" is returned.

    Raises:
        RenderingError: when neither works; names the packages to install.
    """
    chosen = os.environ.get("MUJOCO_GL")
    if chosen:
        return chosen
    if sys.platform != "linux":
        return "native"
    if _egl_initialises():
        _make_mujoco_use("egl")
    elif _osmesa_loads():
        _make_mujoco_use("osmesa")
    else:
        raise RenderingError(
            "No offscreen OpenGL: neither EGL (libEGL.so.1 with libGL.so.1) nor OSMesa "
            f"(libOSMesa) could be loaded. {INSTALL_HINT}"
        )
    return os.environ["MUJOCO_GL"]


class FrameRenderer:
    """Draws one MuJoCo model from one camera, without what costs time on a CPU.

    Shadows, reflections and multisampling are off: with them a 64 px tabletop frame takes
    several times longer under a software rasteriser. Smooth edges, which carry positions finer
    than a pixel, come from drawing at twice the size and averaging, which is cheaper.

    Args:
        model: `mujoco.MjModel`, whose `offsamples` should be 0 for speed.
        height_px: rows of the frame.
        width_px: columns of the frame.
        camera: camera name or id, -1 for the model's free camera, or a `mujoco.MjvCamera`.
        flat: False keeps the model's own lights, shadows and skybox.

    Raises:
        RenderingError: when the OpenGL context cannot be made.
    """

    def __init__(
        self,
        model: Any,
        height_px: int,
        width_px: int,
        camera: Any = -1,
        *,
        flat: bool = True,
    ) -> None:
        backend = opengl_backend()
        import mujoco

        try:
            self._renderer = mujoco.Renderer(
                model, height=SUPERSAMPLING * height_px, width=SUPERSAMPLING * width_px
            )
        except Exception as error:
            raise RenderingError(
                f"MuJoCo could not open an offscreen context with MUJOCO_GL={backend}: {error}. "
                + INSTALL_HINT
            ) from error
        self._camera = camera
        if flat:
            flags = self._renderer.scene.flags
            flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
            flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
            flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = False
            flags[mujoco.mjtRndFlag.mjRND_HAZE] = False

    def rgb(self, data: Any) -> NDArray[np.uint8]:
        """Draw `data` in colour: uint8 (H, W, 3)."""
        self._renderer.update_scene(data, camera=self._camera)
        fine = self._renderer.render().astype(np.uint16)
        top, bottom = fine[0::2], fine[1::2]
        total = top[:, 0::2] + top[:, 1::2] + bottom[:, 0::2] + bottom[:, 1::2]
        return ((total + 2) >> 2).astype(np.uint8)

    def segmentation(self, data: Any) -> NDArray[np.int32]:
        """Draw the geom id of every pixel, -1 where there is none: int32 (H, W)."""
        return self.fine_segmentation(data)[::SUPERSAMPLING, ::SUPERSAMPLING]

    def fine_segmentation(self, data: Any) -> NDArray[np.int32]:
        """The same at the size that frames are drawn at before they are averaged."""
        import mujoco

        self._renderer.enable_segmentation_rendering()
        try:
            self._renderer.update_scene(data, camera=self._camera)
            pairs = self._renderer.render()
        finally:
            self._renderer.disable_segmentation_rendering()
        ids, kinds = pairs[..., 0], pairs[..., 1]
        return np.where(kinds == int(mujoco.mjtObj.mjOBJ_GEOM), ids, -1).astype(np.int32)

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()
