import json
import os
import subprocess
import sys

import pytest

from envs.doctor import check_opengl, check_packages
from worldmodel.cli import main


@pytest.fixture
def empty_site(tmp_path, monkeypatch):
    """A distribution whose requirements the test writes, found in place of the installed one."""

    def write(*requirements, extras=()):
        folder = tmp_path / "site" / "worldmodel-9.dist-info"
        folder.mkdir(parents=True)
        lines = ["Metadata-Version: 2.4", "Name: worldmodel", "Version: 9"]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        lines += [f"Requires-Dist: {requirement}" for requirement in requirements]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(str(folder.parent))

    return write


def test_a_healthy_machine_has_no_problem_and_exit_code_0(tmp_path):
    assert main(["doctor", f"out={tmp_path / 'report'}"]) == 0
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["problems"] == 0
    assert metrics["peak_gflops"] > 0
    findings = json.loads((tmp_path / "report" / "doctor.json").read_text())
    names = {finding["name"] for finding in findings}
    assert {"torch", "mujoco", "gymnasium", "OpenGL", "compute"} <= names


def test_nothing_is_written_unless_a_folder_is_named(tmp_path):
    assert main(["doctor", "check=gl"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_check_is_a_config_error(capsys):
    assert main(["doctor", "check=egl"]) == 2
    assert "expected one of: all, gl" in capsys.readouterr().err


def test_opengl_is_checked_by_drawing_a_frame():
    [finding] = check_opengl()
    assert "drew a frame" in finding.value
    assert not finding.is_problem


def test_without_a_working_opengl_the_exact_packages_are_named_and_the_exit_code_is_1():
    done = subprocess.run(
        [sys.executable, "-m", "worldmodel", "doctor", "check=gl"],
        # A back end that needs a screen, where there is none.
        env={**os.environ, "MUJOCO_GL": "glfw", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
        | {"COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "libegl1" in done.stdout
    assert "libosmesa6" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_missing_package_is_a_problem_with_the_line_that_installs_it(empty_site):
    empty_site("numpy>=1", "no-such-package-here>=3")
    found = {finding.name: finding for finding in check_packages()}
    assert not found["numpy"].is_problem
    assert found["no-such-package-here"].is_problem
    assert found["no-such-package-here"].remedy == "pip install 'no-such-package-here>=3'"


def test_a_package_of_the_wrong_version_is_a_problem(empty_site):
    empty_site("numpy<1")
    [finding] = check_packages()
    assert finding.is_problem
    assert "<1 is needed" in finding.value


def test_a_missing_extra_is_no_problem_and_names_its_pip_line(empty_site):
    missing = "no-such-package-here[fast]>=2; extra == 'voice'"
    empty_site(missing, "numpy>=1; extra == 'voice'", extras=["voice"])
    [finding] = check_packages()
    assert not finding.is_problem
    assert finding.remedy == "pip install 'no-such-package-here[fast]>=2'"
    assert finding.value == "without no-such-package-here"


def test_requirements_of_other_systems_are_left_out(empty_site):
    empty_site("no-such-package-here; sys_platform == 'never'")
    assert check_packages() == []
