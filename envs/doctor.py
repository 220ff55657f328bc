"""`worldmodel doctor`: is this machine fit to run the project, and if not, what is missing?"""

import os
import platform
from dataclasses import dataclass
from importlib import metadata

import numpy as np
import psutil
from numpy.typing import NDArray
from omegaconf import DictConfig
from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table
from rich.text import Text

from envs.rendering import FrameRenderer, opengl_backend
from multimodal.errors import ConfigError, RenderingError, WorldModelError
from worldmodel.checkpoint import shipped, shipped_names, verify
from worldmodel.runs import RunDirectory

__all__ = ["Finding", "check_checkpoints", "check_opengl", "check_packages", "run"]

DISTRIBUTION = "worldmodel"
CHECKS = ("all", "gl")

_SCENE = """<mujoco><worldbody><light pos="0 0 3"/><geom type="sphere" size="0.5" rgba="1 0 0 1"/>
<camera name="front" pos="0 -2 0" xyaxes="1 0 0 0 0 1"/></worldbody></mujoco>"""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        section: the table it belongs to.
        name: what was looked at.
        value: what was found.
        remedy: what to do about it; empty where all is well.
        required: whether the project cannot run without it.
    """

    section: str
    name: str
    value: str
    remedy: str = ""
    required: bool = True

    @property
    def is_problem(self) -> bool:
        """Whether something required is missing."""
        return self.required and bool(self.remedy)


def run(cfg: DictConfig) -> int:
    """Check this machine, print what was found, and write it to `out` where one is named.

    Args:
        cfg: the configuration `doctor`.

    Returns:
        0, or 1 when something required is missing.

    Raises:
        ConfigError: `check` is none of `all` and `gl`.
    """
    if cfg.check not in CHECKS:
        raise ConfigError(f"check={cfg.check} is unknown; expected one of: {', '.join(CHECKS)}")
    findings = check_opengl()
    figures: dict[str, float] = {}
    if cfg.check == "all":
        machine, figures = check_machine(str(cfg.compute))
        findings = [*machine, *findings, *check_packages(), *check_checkpoints()]
    _print(findings)
    problems = [finding for finding in findings if finding.is_problem]
    figures["problems"] = len(problems)
    if cfg.out is not None:
        directory = RunDirectory.open("doctor", cfg.out)
        directory.write_json("doctor.json", [vars(finding) for finding in findings])
        directory.write_metrics(figures)
    return 1 if problems else 0


def check_machine(preferred: str) -> tuple[list[Finding], dict[str, float]]:
    """Look at the processor, the memory, and the device and dtype that models will use.

    Args:
        preferred: the `compute` key; see `worldmodel.device.choose_compute`.

    Returns:
        The findings, and the figures `cores`, `memory_gb` and `peak_gflops`.
    """
    from worldmodel.device import choose_compute

    compute = choose_compute(None if preferred == "auto" else preferred)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_gb = psutil.virtual_memory().total / 1e9
    device, _, why = compute.reason.partition(": ")
    findings = [
        Finding("machine", "system", platform.platform()),
        Finding("machine", "python", platform.python_version()),
        Finding("machine", "cores", str(cores)),
        Finding("machine", "memory", f"{memory_gb:.1f} GB"),
        Finding("machine", "compute", f"{device} ({why})"),
        Finding("machine", "matrix-product peak", f"{compute.peak_gflops:.0f} GFLOP/s"),
    ]
    figures = {"cores": cores or 1, "memory_gb": memory_gb, "peak_gflops": compute.peak_gflops}
    return findings, {name: float(value) for name, value in figures.items()}


def check_opengl() -> list[Finding]:
    """Draw one frame offscreen: a library that loads may still have no driver beneath it."""
    try:
        backend = opengl_backend()
        frame = _red_ball()
    except RenderingError as error:
        return [Finding("rendering", "OpenGL", "does not work", str(error))]
    if frame[16, 16].argmax() != 0 or frame[16, 16].max() < 32:
        remedy = (
            f"MUJOCO_GL={backend} drew a wrong picture (a red ball came out as {frame[16, 16]}): "
            "update the graphics driver, or use MUJOCO_GL=osmesa after `apt-get install libosmesa6`"
        )
        return [Finding("rendering", "OpenGL", backend, remedy)]
    return [Finding("rendering", "OpenGL", f"{backend}, drew a frame offscreen")]


def _red_ball() -> NDArray[np.uint8]:
    import mujoco

    model = mujoco.MjModel.from_xml_string(_SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = FrameRenderer(model, 32, 32, camera="front")
    try:
        return renderer.rgb(data)
    finally:
        renderer.close()


def check_packages() -> list[Finding]:
    """Compare what is installed with what the package declares, its extras included."""
    try:
        declared = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or []]
        extras = metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        remedy = "run `pip install -c constraints.txt -e .` in the repository"
        return [Finding("packages", DISTRIBUTION, "is not installed", remedy)]
    findings = [
        Finding("packages", item.name, *_installed(item, f"pip install '{_plain(item)}'"))
        for item in declared
        if item.marker is None or item.marker.evaluate({"extra": ""})
    ]
    for extra in sorted(extras):
        members = [
            item
            for item in declared
            if item.marker is not None
            and item.marker.evaluate({"extra": extra})
            and not item.marker.evaluate({"extra": ""})
        ]
        missing = [item for item in members if _installed(item, "missing")[1]]
        value = f"without {', '.join(item.name for item in missing)}" if missing else "present"
        # Not our own name: no index has to hold this project, or it may hold another of that name.
        wanted = " ".join(f"'{_plain(item)}'" for item in missing)
        remedy = f"pip install {wanted}" if missing else ""
        findings.append(Finding("extras", extra, value, remedy, required=False))
    return findings


def _plain(item: Requirement) -> str:
    """The requirement without its marker."""
    extras = f"[{','.join(sorted(item.extras))}]" if item.extras else ""
    return f"{item.name}{extras}{item.specifier}"


def _installed(item: Requirement, remedy: str) -> tuple[str, str]:
    """The installed version, and the remedy where there is none or it does not fit."""
    try:
        version = metadata.version(item.name)
    except metadata.PackageNotFoundError:
        return "is not installed", remedy
    if not item.specifier.contains(version, prereleases=True):
        return f"{version}, but {item.specifier} is needed", remedy
    return version, ""


def check_checkpoints() -> list[Finding]:
    """Compare the shipped checkpoints with their manifests."""
    findings = []
    for name in shipped_names():
        try:
            manifest = verify(shipped(name))
        except WorldModelError as error:
            findings.append(Finding("checkpoints", name, "is damaged", str(error)))
        else:
            findings.append(Finding("checkpoints", name, f"{len(manifest['files'])} files, intact"))
    return findings


def _print(findings: list[Finding]) -> None:
    console = Console()
    for section in dict.fromkeys(finding.section for finding in findings):
        table = Table(title=section, title_justify="left", box=None, show_header=False)
        for finding in findings:
            if finding.section == section:
                style = "red" if finding.is_problem else "yellow" if finding.remedy else "green"
                remedy = Text(f"→ {finding.remedy}" if finding.remedy else "")
                table.add_row(Text(finding.name, style="bold"), Text(finding.value, style), remedy)
        console.print(table)
    problems = sum(finding.is_problem for finding in findings)
    verdict = f"Problems to solve: {problems}." if problems else "All that is needed is there."
    console.print(Text(verdict, style="bold red" if problems else "bold green"))
