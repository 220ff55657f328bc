"""Curves over steps as PNG, in a light and a dark version for the page."""

from __future__ import annotations

import io
from typing import Final, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import ScalarFormatter

from envs.gap.schema import GapReport

__all__ = ["PANELS", "SOURCE_LABELS", "Panel", "curve_png"]


class Panel(NamedTuple):
    """One plot.

    Attributes:
        curve: name of the curve in the report.
        title: above the plot.
        scale: factor onto the values, such as 1000 for millimetres.
        unit: of the axis.
    """

    curve: str
    title: str
    scale: float
    unit: str


PANELS: Final[tuple[Panel, ...]] = (
    Panel("psnr_db", "PSNR", 1.0, "dB"),
    Panel("pusher_error_m", "Pusher position error", 1000.0, "mm"),
    Panel("object_error_m", "Position error of moved objects", 1000.0, "mm"),
    Panel("permanence", "Right objects present", 100.0, "%"),
)

SOURCE_LABELS: Final[dict[str, str]] = {
    "learned": "learned",
    "twins": "MuJoCo twins (floor)",
    "frozen": "frozen frame",
    "shuffled": "shuffled actions",
    "random": "random actions",
    "still": "no action",
}

_COLOURS: Final = {
    "learned": ("#0b6bcb", "#63b3ff"),
    "twins": ("#2f8f4e", "#62c981"),
    "frozen": ("#8a8f98", "#8d95a3"),
    "shuffled": ("#c8672b", "#f0a063"),
}
_INKS: Final = (("#1c232d", "#d5dae2"), ("#e3e8ef", "#343c48"))


def curve_png(report: GapReport, panel: Panel, *, dark: bool) -> bytes | None:
    """Draw one curve for the learned model, the floor and two baselines.

    Args:
        report: where the curves are.
        panel: which curve.
        dark: for a dark page.

    Returns:
        PNG bytes with a transparent ground, or None where the world has no such curve.
    """
    drawn = [s for s in _COLOURS if panel.curve in report.curves.get(s, {})]
    if "learned" not in drawn:
        return None
    ink, rule = _INKS[dark]
    canvas = Canvas(figsize=(5.6, 3.3), dpi=120, layout="constrained", facecolor="none")
    axes = canvas.add_subplot(facecolor="none")
    # The learned curve is drawn last, so that it lies on top.
    for source in reversed(drawn):
        values = report.curves[source][panel.curve]
        heights = np.array([np.nan if v is None else v for v in values]) * panel.scale
        axes.plot(
            np.arange(1, len(heights) + 1),
            heights,
            color=_COLOURS[source][dark],
            linewidth=2.2 if source == "learned" else 1.5,
            label=SOURCE_LABELS[source],
        )
    axes.set_xscale("log")
    axes.set_xticks([h for h in report.setup.horizons if h > 0])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.set_xlabel("step", color=ink)
    axes.set_title(f"{panel.title} ({panel.unit})", color=ink, loc="left", fontsize=11)
    axes.grid(color=rule, linewidth=0.7)
    axes.tick_params(colors=ink, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, labelcolor=ink, fontsize=8.5)
    buffer = io.BytesIO()
    FigureCanvasAgg(canvas).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
