"""The codec's report to look at and listen to: curves, spectrograms, and sound beside sound."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from multimodal.atomic import atomic_path, atomic_write_bytes
from multimodal.audio.codec import RATE_HZ, AudioCodec
from multimodal.audio.waveform import write_wav

__all__ = ["write_page"]

_SHOWN_S = 4.0
_WINDOW, _HOP = 1024, 256
_FLOOR_DB = -80.0


def write_page(
    folder: Path, codec: AudioCodec, report: Mapping[str, Any], examples: Mapping[str, Tensor]
) -> Path:
    """Write `curve.png`, `spectrograms.png`, `examples/*.wav` and `index.html`.

    Args:
        folder: the run's folder.
        codec: the codec measured.
        report: `curve`, `opus` and so on as `worldmodel.evaluation.codec` makes them.
        examples: group of voices to one waveform (samples,).

    Returns:
        Path of the page, which holds pictures and sounds inside.
    """
    heard = {
        group: _resyntheses(codec, audio[: int(_SHOWN_S * RATE_HZ)])
        for group, audio in examples.items()
    }
    _write_curve(folder / "curve.png", report)
    _write_spectrograms(folder / "spectrograms.png", heard)
    (folder / "examples").mkdir(exist_ok=True)
    rows = []
    for group, sounds in heard.items():
        cells = []
        for label, audio in sounds.items():
            path = folder / "examples" / f"{group}_{label.replace(' ', '_').replace('/', '')}.wav"
            write_wav(path, audio.clamp(-1, 1), RATE_HZ)
            cells.append({"label": label, "data": _inline(path)})
        rows.append({"group": group, "cells": cells})
    template = resources.files("worldmodel.evaluation").joinpath("codec_page.html")
    page = jinja2.Template(template.read_text(encoding="utf-8"), autoescape=True).render(
        curve=_inline(folder / "curve.png"),
        spectrograms=_inline(folder / "spectrograms.png"),
        points=report["curve"],
        used=report["codebooks"]["used"],
        opus=report["opus"],
        streaming=report["streaming"],
        other_sounds=report["other_sounds"],
        rows=rows,
    )
    atomic_write_bytes(folder / "index.html", page.encode())
    return folder / "index.html"


@torch.no_grad()
def _resyntheses(codec: AudioCodec, audio: Tensor) -> dict[str, Tensor]:
    """The original and what comes back by all, half and a quarter of the levels and by one."""
    ids = codec.quantize(codec.encode(audio[None]))
    every = codec.config.levels
    sounds = {"original": audio}
    for levels in sorted({every, max(1, every // 2), max(1, every // 4), 1}, reverse=True):
        label = f"{codec.bitrate_bps(levels) / 1000:g} kbit/s"
        sounds[label] = codec.decode(ids, levels)[0, : len(audio)]
    return sounds


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _write_curve(path: Path, report: Mapping[str, Any]) -> None:
    """SI-SDR and mel distance with their intervals, and use of each codebook, over the bitrate."""
    points = report["curve"]
    rate = [point["bitrate_bps"] / 1000 for point in points]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, name, label in (
        (panels[0], "si_sdr_db", "SI-SDR, dB"),
        (panels[1], "mel_db", "mel distance, dB"),
    ):
        values = [point[name]["value"] for point in points]
        axes.plot(rate, values, "o-", color="tab:blue")
        low = [point[name]["low"] for point in points]
        axes.fill_between(rate, low, [point[name]["high"] for point in points], alpha=0.2)
        opus = [(point["bitrate_bps"] / 1000, point[name]) for point in report["opus"]]
        if opus:
            axes.plot(*zip(*opus, strict=True), "x--", color="tab:orange", label="Opus")
        axes.set(xlabel="kbit/s", ylabel=label)
    panels[0].axhline(5, color="grey", linestyle=":", label="target at 6 kbit/s")
    panels[0].legend(frameon=False, loc="lower right")
    panels[2].bar(range(1, len(points) + 1), report["codebooks"]["used"], color="tab:blue")
    panels[2].axhline(0.8, color="grey", linestyle=":")
    panels[2].set(xlabel="level", ylabel="share of its codes used", ylim=(0, 1))
    _save(figure, path)


def _write_spectrograms(path: Path, heard: Mapping[str, Mapping[str, Tensor]]) -> None:
    """One row for each group of voices, the original first."""
    columns = max(len(sounds) for sounds in heard.values())
    figure = Figure(figsize=(3.4 * columns, 2.6 * len(heard)), layout="constrained")
    grid = figure.subplots(len(heard), columns, squeeze=False, sharey=True)
    for row, (group, sounds) in zip(grid, heard.items(), strict=True):
        for axes, (label, audio) in zip(row, sounds.items(), strict=False):
            _draw_spectrogram(axes, audio)
            axes.set_title(f"{group}: {label}", fontsize=9)
        row[0].set_ylabel("kHz")
    _save(figure, path)


def _draw_spectrogram(axes: Axes, audio: Tensor) -> None:
    window = torch.hann_window(_WINDOW)
    spectrum = torch.stft(audio, _WINDOW, _HOP, window=window, return_complex=True).abs()
    loudness_db = 20 * (spectrum / (_WINDOW / 4) + 1e-8).log10()
    extent = (0.0, len(audio) / RATE_HZ, 0.0, RATE_HZ / 2000)
    axes.imshow(
        loudness_db.numpy(),
        origin="lower",
        aspect="auto",
        extent=extent,
        vmin=_FLOOR_DB,
        vmax=0.0,
        cmap="magma",
    )


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path, durable=False) as temporary:
        figure.savefig(temporary, format="png", dpi=80)
