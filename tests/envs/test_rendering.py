"""Which OpenGL draws, what happens where there is none, and that drawing does what it says."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from envs.push import PushWorld
from envs.rendering import FrameRenderer, opengl_backend

ROOT = Path(__file__).parents[2]
LIBRARIES = ["libEGL.so.1", "libGL.so.1", "libOSMesa.so", "libOSMesa.so.8", "libOSMesa.so.6"]


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture
def no_opengl(tmp_path) -> str:
    """A library path on which every OpenGL library is found first, and is no library."""
    for name in LIBRARIES:
        (tmp_path / name).write_text("not a shared object, only a text of some length\n" * 9)
    return str(tmp_path)


def test_without_any_opengl_the_error_names_the_packages_to_install(no_opengl):
    done = _python("import envs.rendering as r; r.opengl_backend()", LD_LIBRARY_PATH=no_opengl)
    assert done.returncode != 0
    assert "RenderingError" in done.stderr
    assert "libegl1" in done.stderr
    assert "libosmesa6" in done.stderr


def test_a_backend_that_does_not_open_is_a_rendering_error_too(no_opengl):
    code = "import gymnasium, envs; gymnasium.make('worldmodel/Push-v0').reset()"
    done = _python(code, LD_LIBRARY_PATH=no_opengl)
    assert done.returncode != 0
    assert "multimodal.errors.RenderingError" in done.stderr


def test_a_learned_environment_of_ones_own_frames_needs_no_opengl(pipeline, no_opengl, tmp_path):
    pipeline.save_pretrained(tmp_path / "model")
    code = (
        "import envs, numpy as np\n"
        f"env = envs.WorldModelEnv({str(tmp_path / 'model')!r}, device='cpu')\n"
        "env.reset(options={'frames': np.zeros((64, 64, 3), np.uint8)})\n"
        "env.step([0.0, 0.0])\n"
    )
    done = _python(code, LD_LIBRARY_PATH=no_opengl)
    assert done.returncode == 0, done.stderr


def test_mujoco_imported_first_still_draws_offscreen():
    code = (
        "import mujoco, envs; w = envs.PushWorld(); f, _ = w.reset(seed=0); "
        "assert f.std() > 1; w.close(); print('drawn')"
    )
    done = _python(code)
    assert done.stdout.strip().endswith("drawn"), done.stderr


def test_the_choice_of_the_user_wins(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert opengl_backend() == "osmesa"


def test_importing_the_package_opens_no_opengl_and_no_torch():
    code = (
        "import sys, envs; "
        "bad = [m for m in ('torch', 'mujoco', 'OpenGL', 'diffusers') if m in sys.modules]; "
        "assert not bad, bad"
    )
    done = _python(code)
    assert done.returncode == 0, done.stderr


def test_a_frame_does_not_change_when_the_next_one_is_drawn():
    world = PushWorld()
    world.reset(seed=0)
    renderer = FrameRenderer(world.model, 64, 64, "top")
    first = renderer.rgb(world.data)
    kept = first.copy()
    world.data.qpos[0] += 0.1
    world._settle_derived()
    second = renderer.rgb(world.data)
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)
    renderer.close()
    world.close()


def test_drawing_a_segmentation_leaves_the_colours_as_they_were():
    world = PushWorld()
    frame, _ = world.reset(seed=0)
    world.segmentation()
    assert np.array_equal(world.render(), frame)
    world.close()
