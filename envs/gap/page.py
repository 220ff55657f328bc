"""The report as a self-contained page: figures as words, plots and videos inlined."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from envs.gap.definitions import DEFINITIONS
from envs.gap.plots import PANELS, SOURCE_LABELS, curve_png
from envs.gap.schema import Figure, GapReport, ProbeQuality, TargetResult

__all__ = ["Clip", "page_html", "quantity"]

_OTHERS = ("twins", "frozen", "shuffled")
_TABLES = (
    ("PSNR", "psnr", "dB"),
    ("SSIM", "ssim", ""),
    ("PSNR lead over the frozen frame", "psnr_over_frozen", "dB"),
    ("Pusher position error", "pusher_error_m", "m"),
    ("Position error of moved objects", "object_error_m", "m"),
    ("… with missing objects counted as left behind (strict)", "object_error_strict_m", "m"),
    ("… as a share of the frozen frame's", "object_error_over_frozen", ""),
    ("Missing among moved objects", "moved_missing", "%"),
    ("Permanence", "permanence", "%"),
    ("Controllability: delta-PSNR", "delta_psnr", "dB"),
)


class Clip(NamedTuple):
    """A video for the page.

    Attributes:
        path: the file.
        mime: its type.
        poster: PNG bytes shown before it plays.
        caption: below it.
    """

    path: Path
    mime: str
    poster: bytes
    caption: str


def quantity(value: float, unit: str) -> str:
    """A number with its unit, as a reader wants it: metres as millimetres, shares in percent."""
    if unit == "m":
        return f"{value * 1000:.1f} mm"
    if unit == "%":
        return f"{value * 100:.2f}%"
    return f"{value:.2f} {unit}".rstrip() if unit else f"{value:.3f}"


def page_html(report: GapReport, clips: Sequence[Clip], sheet_png: bytes) -> str:
    """Render the page.

    Args:
        report: the figures.
        clips: videos to inline.
        sheet_png: the contact sheet.
    """
    template = resources.files("envs.gap").joinpath("report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=False
    )
    return environment.from_string(template).render(
        setup=report.setup,
        tiles=_tiles(report),
        targets=[_target_row(target, report) for target in report.targets],
        plots=_plots(report),
        videos=[
            {
                "data": _data_uri(clip.path.read_bytes(), clip.mime),
                "mime": clip.mime,
                "poster": _data_uri(clip.poster, "image/png"),
                "caption": clip.caption,
            }
            for clip in clips
        ],
        sheet=_data_uri(sheet_png, "image/png"),
        tables=[t for t in (_table(report, *spec) for spec in _TABLES) if t["rows"]],
        episodes=_episode_rows(report),
        probe=None if report.probe is None else _probe(report.probe),
        definitions=DEFINITIONS,
    )


def _data_uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def _cell(figure: Figure | None, unit: str, report: GapReport) -> dict[str, str]:
    if figure is None:
        return {"value": "–", "interval": ""}
    if unit == "m":
        interval = f"{figure.low * 1000:.1f} – {figure.high * 1000:.1f}"
    elif unit == "%":
        interval = f"{figure.low * 100:.2f} – {figure.high * 100:.2f}"
    else:
        digits = 2 if unit else 3
        interval = f"{figure.low:.{digits}f} – {figure.high:.{digits}f}"
    if figure.episodes < report.setup.episodes:
        interval += f" ({figure.episodes} ep.)"
    return {"value": quantity(figure.value, unit), "interval": interval}


def _shown_unit(metric: str, unit: str) -> str:
    return "%" if metric.startswith("permanence") else unit


def _target_row(target: TargetResult, report: GapReport) -> dict[str, Any]:
    unit = _shown_unit(target.metric, target.unit)
    verdict = {True: "reached", False: "missed", None: "unknown"}[target.reached]
    sign = (">" if target.strict else "≥") if target.at_least else "≤"
    bound = {
        "m": f"{target.bound * 1000:g} mm",
        "%": f"{target.bound * 100:g}%",
    }.get(unit, f"{target.bound:g} {unit}".rstrip())
    return {
        "label": target.label,
        "learned": _cell(report.scores["learned"].get(target.metric), unit, report),
        "bound": f"{sign} {bound}",
        "verdict": verdict,
        "others": [
            _cell(report.scores.get(source, {}).get(target.metric), unit, report)
            for source in _OTHERS
        ],
    }


def _tiles(report: GapReport) -> list[dict[str, str]]:
    learned = report.scores["learned"]
    wanted = [
        ("psnr_16", "dB", "PSNR after 16 steps"),
        ("object_error_m_16", "m", "moved objects off after 16 steps"),
        ("pusher_error_m_64", "m", "pusher off after 64 steps"),
        ("permanence_64", "%", "right objects present, 64 steps"),
        ("divergence_horizon_steps", "steps", "until a body is 2 cm off"),
    ]
    tiles = [
        {
            "value": f"{learned[name].value:.0f}"
            if unit == "steps"
            else quantity(learned[name].value, unit),
            "label": ("steps " if unit == "steps" else "") + label,
        }
        for name, unit, label in wanted
        if name in learned
    ]
    if report.targets:
        reached = sum(target.reached is True for target in report.targets)
        tiles.insert(0, {"value": f"{reached} / {len(report.targets)}", "label": "targets reached"})
    return tiles


def _plots(report: GapReport) -> list[dict[str, str]]:
    plots = []
    for panel in PANELS:
        light, dark = (curve_png(report, panel, dark=dark) for dark in (False, True))
        if light is not None and dark is not None:
            plots.append(
                {
                    "title": panel.title,
                    "light": _data_uri(light, "image/png"),
                    "dark": _data_uri(dark, "image/png"),
                }
            )
    return plots


def _table(report: GapReport, title: str, metric: str, unit: str) -> dict[str, Any]:
    horizons = report.setup.horizons
    rows = []
    for source, label in SOURCE_LABELS.items():
        figures = report.scores.get(source, {})
        found = [figures.get(f"{metric}_{h}") for h in horizons]
        if any(figure is not None for figure in found):
            rows.append(
                {"label": label, "cells": [_cell(figure, unit, report) for figure in found]}
            )
    return {"title": title, "columns": [f"step {h}" for h in horizons], "rows": rows}


def _episode_rows(report: GapReport) -> list[dict[str, str]]:
    return [
        {
            "seed": str(row.seed),
            "psnr": quantity(row.psnr_db, "dB"),
            "error": "–" if row.position_error_m is None else quantity(row.position_error_m, "m"),
            "permanence": "–" if row.permanence is None else quantity(row.permanence, "%"),
            "diverged": "never" if row.divergence_step is None else str(row.divergence_step),
        }
        for row in report.per_episode
    ]


def _probe(probe: ProbeQuality) -> dict[str, str]:
    return {
        "frames": f"{probe.frames:,}",
        "object": quantity(probe.object_error_m, "m"),
        "object_p95": quantity(probe.object_error_p95_m, "m"),
        "pusher": quantity(probe.pusher_error_m, "m"),
        "pusher_p95": quantity(probe.pusher_error_p95_m, "m"),
        "presence": quantity(probe.presence_accuracy, "%"),
        "shape": quantity(probe.shape_accuracy, "%"),
        "permanence": quantity(probe.permanence, "%"),
    }
