"""Writes a gap report: gap.json first, then plots, videos and the page made from it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from envs.gap.measure import Videos
from envs.gap.page import Clip, page_html, quantity
from envs.gap.schema import EpisodeScore, GapReport
from envs.gap.video import contact_sheet, side_by_side_frames, video_format, write_video
from multimodal.atomic import atomic_write_bytes
from worldmodel.runs import RunDirectory

__all__ = ["Written", "telling_episodes", "write_report"]

_FPS = 30
_MOST_FRAMES = 320
_SHEET_ROWS = 6


class Written(NamedTuple):
    """Files of a report.

    Attributes:
        page: report.html, self-contained.
        data: gap.json.
        videos: side-by-side videos.
        sheet: contact_sheet.png.
    """

    page: Path
    data: Path
    videos: tuple[Path, ...]
    sheet: Path


def write_report(
    report: GapReport, videos: Videos, directory: RunDirectory, count: int = 3
) -> Written:
    """Write gap.json, side-by-side videos, the contact sheet and report.html.

    Args:
        report: the figures.
        videos: frames to show.
        directory: of the run.
        count: episodes shown as video; best, median and worst come first.

    Raises:
        DiskFullError: the disk is full; every file is whole or not there.
    """
    data = directory.write_json("gap.json", report.model_dump(mode="json"))
    rows = {row.seed: row for row in report.per_episode}
    shown = telling_episodes([rows[seed] for seed in videos.seeds], count)
    clips = [_clip(report, videos, row, rank, directory) for rank, row in shown]
    sheet_png = _sheet(report, videos)
    sheet = directory.path / "contact_sheet.png"
    atomic_write_bytes(sheet, sheet_png)
    page = directory.path / "report.html"
    atomic_write_bytes(page, page_html(report, clips, sheet_png).encode())
    return Written(page, data, tuple(clip.path for clip in clips), sheet)


def telling_episodes(rows: Sequence[EpisodeScore], count: int) -> list[tuple[str, EpisodeScore]]:
    """Choose what to show so that nobody sees only the good ones.

    Ranked by mean PSNR, evenly from best to worst; position errors would pass over what vanished.

    Args:
        rows: episodes to choose from.
        count: how many, at most as many as there are.

    Returns:
        (rank in words, row), best first.
    """
    ranked = sorted(rows, key=lambda row: -row.psnr_db)
    places = np.unique(np.linspace(0, len(ranked) - 1, max(1, min(count, len(ranked)))).round())
    named = {0: "best", len(ranked) - 1: "worst"}
    return [
        (named.get(int(place), f"rank {int(place) + 1}"), ranked[int(place)]) for place in places
    ]


def _clip(
    report: GapReport, videos: Videos, row: EpisodeScore, rank: str, directory: RunDirectory
) -> Clip:
    index = videos.seeds.index(row.seed)
    truth, learned = videos.truth[index], videos.learned(index)
    step_s = report.setup.control_dt_s
    stride = math.ceil(len(truth) / _MOST_FRAMES)
    path = write_video(
        directory.path / f"side_by_side_{row.seed}",
        side_by_side_frames(truth, learned, step_s, range(0, len(truth), stride)),
        _FPS,
    )
    # A poster at a step where something has happened already.
    at = min(len(truth) - 1, 64)
    drawn = next(side_by_side_frames(truth, learned, step_s, (at,)))
    buffer = io.BytesIO()
    Image.fromarray(drawn).save(buffer, "PNG", optimize=True)
    speed = _FPS * stride * step_s
    caption = (
        f"Seed {row.seed}, {rank} of {len(videos.seeds)} by PSNR: "
        f"{quantity(row.psnr_db, 'dB')} mean PSNR{_seen(row)}. "
        f"Shown at {speed:g}× real time; difference doubled."
    )
    return Clip(path, video_format().mime, buffer.getvalue(), caption)


def _seen(row: EpisodeScore) -> str:
    if row.position_error_m is None or row.permanence is None:
        return ""
    return (
        f", right objects present in {quantity(row.permanence, '%')}, "
        f"what is seen {quantity(row.position_error_m, 'm')} off on average"
    )


def _sheet(report: GapReport, videos: Videos) -> bytes:
    rows = slice(0, min(_SHEET_ROWS, len(videos.seeds)))
    last = report.setup.horizon
    doubling = [2**power for power in range(math.ceil(math.log2(last + 1)))]
    steps = sorted(
        {0, last, *(step for step in doubling if step not in (2, 8, 32) and step < last)}
    )
    learned = np.stack([videos.learned(index)[steps] for index in range(rows.stop)])
    return contact_sheet(videos.truth[rows, steps], learned, videos.seeds[rows], steps)
