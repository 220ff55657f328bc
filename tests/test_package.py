"""What `pip install .` installs: a wheel with every file that the package needs when it runs."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("agents", "configs", "envs", "multimodal", "worldmodel")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository"),
]

# Runs in a folder of its own with the unpacked wheel before everything else on the path.
_USE = """
import json, sys
import agents, configs, envs, multimodal, worldmodel
from worldmodel.checkpoint import shipped, shipped_names, verify
from worldmodel.cli import VERBS, composed
from worldmodel.configuration import documented_keys
packages = (agents, configs, envs, multimodal, worldmodel)
print(json.dumps({
    "homes": [package.__file__ for package in packages],
    "verbs": {name: len(documented_keys(name)) for name in VERBS},
    "size": composed("train", ["size=tiny"]).size.name,
    "checkpoints": {name: len(verify(shipped(name))["files"]) for name in shipped_names()},
}))
"""


def git_files(*options):
    listed = subprocess.run(
        ["git", "ls-files", *options], cwd=ROOT, capture_output=True, text=True, check=True
    )
    # A file that was deleted and not committed yet is listed all the same.
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built of a copy, since a build leaves files behind that the next one would take up."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in git_files("--cached", "--others", "--exclude-standard"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-index", "--no-build-isolation", f"--wheel-dir={out}"]
    done = subprocess.run(
        [*command, *options, str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    [path] = out.glob("*.whl")
    return path


def test_the_wheel_holds_every_tracked_file_of_the_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    tracked = git_files(*PACKAGES)
    suffixes = {Path(name).suffix for name in tracked}
    assert {".py", ".yaml", ".html", ".json", ".safetensors", ".md", ".png"} <= suffixes
    assert [name for name in tracked if name not in held] == []


def test_the_wheel_holds_no_tests_and_no_data(wheel):
    with zipfile.ZipFile(wheel) as archive:
        folders = {name.partition("/")[0] for name in archive.namelist()}
    assert {name for name in folders if not name.endswith(".dist-info")} == set(PACKAGES)


def test_configs_and_checkpoints_are_found_from_another_folder(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-c", _USE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert all(Path(home).is_relative_to(tmp_path / "site") for home in found["homes"])
    assert len(found["verbs"]) >= 6
    assert min(found["verbs"].values()) >= 1
    assert found["size"] == "tiny"
    assert found["checkpoints"]["push"] > 5
