"""The account of a training run for its model card: what, on what, how long, where."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

__all__ = ["environment_record", "shown_command"]

_PACKAGES = (
    "accelerate",
    "diffusers",
    "gymnasium",
    "minari",
    "mujoco",
    "numpy",
    "safetensors",
    "torch",
    "transformers",
)


def shown_command() -> str:
    """The command of this process as a user would type it."""
    program = Path(sys.argv[0]).name
    words = ["worldmodel" if program in ("__main__.py", "worldmodel") else program, *sys.argv[1:]]
    return shlex.join(words)


def environment_record() -> dict[str, Any]:
    """Hardware, versions and the source's commit, as JSON values."""
    return {
        "hardware": _hardware(),
        "versions": {"python": platform.python_version(), **_versions()},
        "git_commit": _git_commit(),
    }


def _hardware() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpus": gpus,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> Mapping[str, str]:
    installed = {}
    for name in ("worldmodel", *_PACKAGES):
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def _git_commit(file: Path = Path(__file__)) -> str | None:
    """The commit of the checkout the code runs from; None for an installed package.

    An environment may lie inside a checkout of something else: the file has to be tracked.
    """
    if _git(file, "ls-files", "--error-unmatch", file.name) is None:
        return None
    return _git(file, "describe", "--always", "--dirty", "--abbrev=12")


def _git(file: Path, *words: str) -> str | None:
    """What a git command says in a file's folder; None where it fails or says nothing."""
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=file.parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
