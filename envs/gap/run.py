"""`worldmodel gap`: measure a model against MuJoCo on held-out episodes and write the report."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from envs.gap.assemble import assemble
from envs.gap.measure import Advance, Measurement, Plan, measure, work_of
from envs.gap.probe import StateProbe
from envs.gap.probe_files import load_probe
from envs.gap.readings import REQUIRED_STATE
from envs.gap.report import Written, write_report
from envs.gap.schema import GapReport, Setup
from envs.gap.truth import open_endless
from envs.mujoco_world import MujocoWorld
from worldmodel.device import choose_compute
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.runs import RunDirectory
from worldmodel.typed_command import typed_command

__all__ = ["Order", "carry_out", "print_headline", "run"]

_VERSIONS = ("torch", "mujoco", "diffusers", "gymnasium", "torchmetrics")


@dataclass(frozen=True)
class Order:
    """A measurement as it is asked for on the command line.

    Attributes:
        checkpoint: name or folder of the model.
        layers: whether the model may carry layers; False measures its dynamics alone.
        probe: "checkpoint" for the one beside the model, "none", or a folder.
        world_id: Gymnasium id of the true world.
        size_px: side of its frame.
        world_options: its keyword arguments.
        plan: what to measure.
        resamples: of the bootstrap.
        videos: episodes shown as video.
        command: what to type to measure the same again.
    """

    checkpoint: str
    layers: bool
    probe: str
    world_id: str
    size_px: int
    world_options: dict[str, Any]
    plan: Plan
    resamples: int
    videos: int
    command: str


def run(cfg: DictConfig) -> int:
    """Measure as configured; see `configs/gap.yaml` for the keys.

    Returns:
        0. Missed targets are reported, they are not an error of the command.
    """
    order = Order(
        checkpoint=str(cfg.checkpoint),
        layers=bool(cfg.layers),
        probe=str(cfg.probe),
        world_id=str(cfg.world.id),
        size_px=int(cfg.world.size_px),
        world_options=_plain(cfg.world.options),
        plan=Plan(
            episodes=int(cfg.episodes),
            horizons=tuple(sorted({int(h) for h in cfg.horizons})),
            baseline_horizon=int(cfg.baseline_horizon),
            context=int(cfg.context),
            perturbation=float(cfg.twin_perturbation),
            seed=int(cfg.seed),
        ),
        resamples=int(cfg.resamples),
        videos=int(cfg.videos),
        command=typed_command("gap", cfg, always=("checkpoint", "episodes", "seed")),
    )
    directory = RunDirectory.open("gap", cfg.out)
    directory.write_config(cfg)
    report, written = carry_out(order, directory)
    directory.write_metrics(report.metrics())
    print_headline(report, written)
    return 0


def _plain(options: Any) -> dict[str, Any]:
    plain = OmegaConf.to_container(options, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def carry_out(order: Order, directory: RunDirectory) -> tuple[GapReport, Written]:
    """Load, measure, and write the report.

    Args:
        order: what to measure.
        directory: where the report goes.
    """
    device = choose_compute().device
    pipeline = WorldModelPipeline.from_pretrained(order.checkpoint).to(device)
    if not order.layers:
        pipeline = pipeline.without_layers()
    world = open_endless(order.world_id, order.size_px, order.world_options)
    try:
        probe = None
        if order.probe != "none" and _has_objects(world):
            probe = load_probe(order.checkpoint, order.probe).to(device)
        found = _measured(pipeline, world, probe, order.plan)
        report = assemble(found, _setup(order, world.control_dt_s))
    finally:
        world.close()
    return report, write_report(report, found.videos, directory, order.videos)


def _has_objects(world: MujocoWorld) -> bool:
    return all(name in world.state_units for name in REQUIRED_STATE)


def _measured(
    pipeline: WorldModelPipeline, world: MujocoWorld, probe: StateProbe | None, plan: Plan
) -> Measurement:
    with _progress(plan) as advance:
        return measure(pipeline, world, probe, plan, advance)


@contextmanager
def _progress(plan: Plan) -> Iterator[Advance]:
    """A bar for each kind of work."""
    columns = (TextColumn("{task.description:<26}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), transient=True) as bars:
        tasks = {kind: bars.add_task(kind, total=total) for kind, total in work_of(plan).items()}
        yield lambda kind, count: bars.advance(tasks[kind], count)


def _setup(order: Order, control_dt_s: float) -> Setup:
    plan = order.plan
    return Setup(
        checkpoint=order.checkpoint,
        world=order.world_id,
        episodes=plan.episodes,
        horizon=plan.steps,
        baseline_horizon=plan.baseline_steps,
        horizons=list(plan.horizons),
        context=plan.context,
        twin_perturbation=plan.perturbation,
        control_dt_s=control_dt_s,
        seed=plan.seed,
        resamples=order.resamples,
        command=order.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={"Python": platform.python_version()} | {n: version(n) for n in _VERSIONS},
    )


def print_headline(report: GapReport, written: Written) -> None:
    """Print the figures with their targets, in the units of `metrics.json`, and where they are."""
    setup = report.setup
    table = Table(
        title=f"{setup.checkpoint} against {setup.world}, {setup.episodes} episodes",
        box=SIMPLE,
        pad_edge=False,
    )
    table.add_column("figure", no_wrap=True)
    for heading in ("learned", "target", "twins", "frozen", "shuffled"):
        table.add_column(heading, justify="right", no_wrap=True)
    for target in report.targets:
        sign = (">" if target.strict else "≥") if target.at_least else "≤"
        table.add_row(*_row(report, target.metric, f"{sign} {target.bound:g}", target.reached))
    if not report.targets:
        for h in setup.horizons:
            table.add_row(*_row(report, f"psnr_{h}", "", None))
    console = Console()
    console.print(table)
    console.print(f"report: {written.page}\nfigures: {written.data}", highlight=False)


def _row(report: GapReport, metric: str, bound: str, reached: bool | None) -> list[Text]:
    style = {True: "bold green", False: "bold red", None: "dim"}[reached]
    cells = []
    for source in ("learned", "twins", "frozen", "shuffled"):
        figure = report.scores.get(source, {}).get(metric)
        shown = "–" if figure is None else f"{figure.value:.4f}"
        cells.append(Text(shown, style if source == "learned" else ""))
    return [Text(metric), cells[0], Text(bound), *cells[1:]]
