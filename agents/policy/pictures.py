"""The ranking of policies as a picture: success in the model against success in MuJoCo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

__all__ = ["draw_ranking"]


def draw_ranking(table: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw success and gain of every policy, model against MuJoCo, with 95% intervals.

    Args:
        table: rows with `name` and `success_mujoco`, `success_model`, `gain_mujoco`, `gain_model`,
            each with its ends `_low` and `_high`.
        path: the picture's file.
    """
    figure = Figure(figsize=(11, 5), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 2), ("success", "gain"), strict=True):
        for number, row in enumerate(table):
            x, y = row[f"{measure}_model"], row[f"{measure}_mujoco"]
            spread = [
                [[value - row[f"{measure}_{side}_low"]], [row[f"{measure}_{side}_high"] - value]]
                for side, value in (("model", x), ("mujoco", y))
            ]
            axes.errorbar(
                x, y, xerr=spread[0], yerr=spread[1], fmt="o", color=f"C{number % 10}", alpha=0.8
            )
            axes.annotate(str(number + 1), (x, y), textcoords="offset points", xytext=(4, 4))
        ends = [min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], 1)]
        axes.plot(ends, ends, color="0.7", linewidth=1, zorder=0)
        axes.set_xlabel(f"{measure} in the model")
        axes.set_ylabel(f"{measure} in MuJoCo")
    names = [f"{number + 1} {row['name']}" for number, row in enumerate(table)]
    figure.suptitle("   ".join(names), fontsize=7, wrap=True)
    figure.savefig(path, dpi=110)
