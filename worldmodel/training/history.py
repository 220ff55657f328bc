"""The run's history as JSON lines, its curves as a picture, and wandb beside them."""

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from multimodal.atomic import atomic_path, atomic_write_bytes
from worldmodel.runs import RunDirectory

__all__ = [
    "WandbMode",
    "open_wandb",
    "set_aside",
    "set_aside_later",
    "truncate_history",
    "write_curves",
]

WandbMode = Literal["disabled", "offline", "online"]
HISTORY = "history.jsonl"
# What every line carries beside the objective's own figures.
_BOOKKEEPING = {"step", "time_s", "samples_per_s", "data_wait_share", "learning_rate", "grad_norm"}

_log = logging.getLogger(__name__)


def truncate_history(run: RunDirectory, step: int) -> None:
    """Drop the lines after `step`, which a resumed run writes again, and a torn last line.

    Args:
        run: the run's folder.
        step: the step the run goes on from; 0 drops all lines.
    """
    path = run.path / HISTORY
    if path.exists():
        rows = [row for row in run.history() if row["step"] <= step]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        atomic_write_bytes(path, text.encode())


def set_aside(run: RunDirectory, others: Sequence[str] = ()) -> None:
    """Move an earlier run's results aside, so that nothing of it is lost or mixed in.

    Args:
        run: the run's folder.
        others: what else such a run leaves in its folder, as patterns of names.
    """
    names = (run.checkpoints.name, HISTORY, "model", *others)
    stale = [path for name in names for path in sorted(run.path.glob(name))]
    if stale:
        aside = _move_aside(run, stale)
        _log.warning("starting from nothing; the earlier run is now in %s", aside)


def set_aside_later(run: RunDirectory, step: int) -> None:
    """Move checkpoints of a later step aside: damaged ones, or those of a branch that was left.

    Left in place they would be taken for the newest, and outlive what is saved from now on.

    Args:
        run: the run's folder.
        step: the step the run goes on from.
    """
    later = [
        path
        for path in sorted(run.checkpoints.glob("step-*"))
        if int(path.name.removeprefix("step-")) > step
    ]
    if later:
        aside = _move_aside(run, later)
        _log.warning("going on from step %d; later checkpoints are now in %s", step, aside)


def _move_aside(run: RunDirectory, paths: list[Path]) -> Path:
    """Move what lies in the run's folder to the same place in a new folder `previous-N`."""
    number = 1
    while (aside := run.path / f"previous-{number}").exists():
        number += 1
    for path in paths:
        target = aside / path.relative_to(run.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    return aside


def write_curves(run: RunDirectory) -> Path | None:
    """Draw every logged figure over the steps as `curves.png`, validation beside training.

    Args:
        run: the run's folder.

    Returns:
        The picture's path, or None where nothing was logged yet.
    """
    rows = run.history()
    names = {name for row in rows for name in row if name not in _BOOKKEEPING}
    figures = sorted({name.removeprefix("validation_") for name in names}, key=_loss_first)
    if not figures:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figures = ["learning_rate", *figures] if len(figures) % 3 == 2 else figures
    columns = min(3, len(figures))
    lines = -(-len(figures) // columns)
    figure = Figure(figsize=(4.5 * columns, 3.2 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    for place, name in enumerate(sorted(figures, key=_loss_first), start=1):
        axes = figure.add_subplot(lines, columns, place)
        drawn: list[float] = []
        for key, label in ((name, "training"), (f"validation_{name}", "validation")):
            points = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), label=label, linewidth=1)
                drawn += [value for _, value in points]
        if name.endswith("loss") and drawn and min(drawn) > 0:
            axes.set_yscale("log")
        axes.set_title(name)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    path = run.path / "curves.png"
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return path


def _loss_first(name: str) -> tuple[bool, str]:
    return (name != "loss", name)


def open_wandb(
    run: RunDirectory, mode: WandbMode, config: Mapping[str, Any], project: str = "worldmodel"
) -> Any:
    """Open a wandb run in the run's folder; a resumed run keeps its id.

    Args:
        run: the run's folder.
        mode: `disabled` does not even import wandb, `offline` writes files only, `online` uploads.
        config: the run's settings.
        project: name of the project in wandb.

    Returns:
        The wandb run, or None when disabled.
    """
    if mode == "disabled":
        return None
    import wandb

    identity = run.path / "wandb-id.txt"
    if not identity.exists():
        atomic_write_bytes(identity, secrets.token_hex(4).encode())
    return wandb.init(
        project=project,
        name=run.path.name,
        dir=str(run.path),
        mode=mode,
        id=identity.read_text().strip(),
        resume="allow",
        config=dict(config),
        settings=wandb.Settings(silent=True, disable_git=True, disable_code=True),
    )
