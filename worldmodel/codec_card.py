"""Packing a trained audio codec to ship: half-precision weights, its scores, and a model card.

`python -m worldmodel.codec_card RUN TARGET` copies the codec that `worldmodel train
objective=codec out=RUN` wrote into TARGET in float16. Then `worldmodel evaluate model=codec
checkpoint=TARGET out=EVALUATION` measures what ships, and `python -m worldmodel.codec_card RUN
TARGET --evaluation EVALUATION` writes the card from its files, beside those of an evaluation of
the codec it started from (`--start`). No figure in a card is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from multimodal.errors import CheckpointError
from worldmodel.checkpoint import verify, write_manifest
from worldmodel.codec import load_codec
from worldmodel.durable import atomic_directory

__all__ = ["main", "pack_codec", "write_codec_card"]

_KIND = "codec"
_ROWS = (
    ("codec_si_sdr_db", "SI-SDR at 6 kbit/s, voices never heard, dB", "≥ 5"),
    ("codec_si_sdr_db_espeak", "the same, held-out eSpeak voices only, dB", "–"),
    ("codec_si_sdr_db_flite", "the same, flite's speakers only (an engine never heard), dB", "–"),
    ("codec_mel_db", "mean log-mel difference at 6 kbit/s, dB", "–"),
    ("codec_codebook_use", "share of the codes used, mean over the codebooks", "≥ 0.8"),
    ("codec_perplexity", "effective number of codes of 1,024, mean over the codebooks", "–"),
    ("codec_streaming_ids_equal", "codes that are the same hop by hop and in one piece", "1"),
    ("codec_streaming_difference", "largest difference of the samples", "≤ 1e-4"),
    ("codec_hop_cpu_ms", "CPU time to code and decode a hop of 13.3 ms, ms", "< 13.3"),
    ("codec_realtime_factor", "seconds of sound in a second of CPU time, in one piece", "> 1"),
)


def pack_codec(run: Path, target: Path) -> Path:
    """Write a trained codec in float16, with the account of its training.

    Args:
        run: the folder of `worldmodel train objective=codec`.
        target: the new folder; replaced as a whole.

    Returns:
        `target`.

    Raises:
        CheckpointError: the run holds no finished codec.
    """
    codec = load_codec(run / "codec" / "model")
    with atomic_directory(target) as folder:
        codec.to(torch.float16).save_pretrained(folder)
        shutil.copyfile(run / "training.json", folder / "training.json")
        write_manifest(folder, _KIND)
    return target


def write_codec_card(
    checkpoint: Path, evaluation: Path, notes: str = "", start: Path | None = None
) -> Path:
    """Write `README.md`, the scores and the pictures into a packed codec.

    Args:
        checkpoint: as `pack_codec` wrote it.
        evaluation: a run of `worldmodel evaluate model=codec` on it.
        notes: Markdown on what a reader should know beside the figures.
        start: a run of the same command on a codec of one training step, which is a cosine
            transform with k-means codebooks: what training has to beat.

    Returns:
        The card's path.

    Raises:
        CheckpointError: the checkpoint or the run's files are missing or damaged.
    """
    verify(checkpoint, _KIND)
    training = _json(checkpoint / "training.json")
    figures, report = _json(evaluation / "metrics.json"), _json(evaluation / "codec.json")
    lines = [f"# Model card: {checkpoint.name}", "", notes.strip(), "", *_origin(training)]
    lines += ["## Scores (`worldmodel evaluate model=codec`)", ""]
    lines += _scores(figures, {} if start is None else _json(start / "metrics.json"))
    lines += _curve(report)
    lines += ["![curve](curve.png)", "", *_other_sounds(report)]
    lines += ["![spectrograms](spectrograms.png)", ""]
    (checkpoint / "scores").mkdir(exist_ok=True)
    shutil.copyfile(evaluation / "metrics.json", checkpoint / "scores" / "evaluate.json")
    if start is not None:
        shutil.copyfile(start / "metrics.json", checkpoint / "scores" / "start.json")
    for picture in ("curve.png", "spectrograms.png"):
        shutil.copyfile(evaluation / picture, checkpoint / picture)
    card = checkpoint / "README.md"
    card.write_text("\n".join(lines), encoding="utf-8")
    write_manifest(checkpoint, _KIND)
    return card


def _scores(figures: dict[str, float], before: dict[str, float]) -> list[str]:
    lines = ["| figure | `metrics.json` | measured | target |", "|---|---|---|---|"]
    for name, label, target in _ROWS:
        if name in figures:
            lines.append(f"| {label} | `{name}` | {figures[name]:.4g} | {target} |")
    if before:
        ratio, mel = before["codec_si_sdr_db"], before["codec_mel_db"]
        lines += ["", "After one step of training, when the codec is a cosine transform with "]
        lines[-1] += (
            f"k-means codebooks, the first and the fourth are {ratio:.3g} and {mel:.3g} dB."
        )
    return [*lines, ""]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Run the command again.") from error


def _origin(training: dict[str, Any]) -> list[str]:
    data, hardware = training["dataset"], training["hardware"]
    stage = training["stages"]["codec"]
    voices = ", ".join(f"{count} of {engine}" for engine, count in data["voices"].items())
    held_out = ", ".join(f"{count} of {engine}" for engine, count in data["held_out"].items())
    seconds = (
        stage["settings"]["batch_size"] * training["config"]["size"]["budget"]["codec"]["hops"]
    )
    return [
        "## How it came to be",
        "",
        "```",
        training["command"],
        "```",
        "",
        f"Speech made on the same machine: `{data['id']}`, {data['sentences']:,} sentences, "
        f"{data['minutes']} minutes, fingerprint `{data['fingerprint']}`; voices: {voices}. "
        f"Held out as whole voices: {held_out}.",
        "",
        f"{stage['trainable_parameters']:,} trained parameters beside the codebooks; "
        f"{stage['steps']:,} steps of {seconds / 75:.1f} s of sound, "
        f"{stage['seconds'] / 60:.1f} minutes on {stage['device']} in {stage['precision']}, "
        f"seed {training['seed']}. "
        f"Hardware: {hardware['processor']}, {hardware['cores']} core(s) "
        f"used, {hardware['memory_gb']} GB. Weights are stored in float16.",
        "",
    ]


def _curve(report: dict[str, Any]) -> list[str]:
    lines = [
        "| levels | kbit/s | SI-SDR, dB (95%) | mel, dB (95%) | codes used |",
        "|---|---|---|---|---|",
    ]
    for point, used in zip(report["curve"], report["codebooks"]["used"], strict=True):
        cells = [
            f"{point[name]['value']:.2f} ({point[name]['low']:.2f} to {point[name]['high']:.2f})"
            for name in ("si_sdr_db", "mel_db")
        ]
        rate = point["bitrate_bps"] / 1000
        lines.append(f"| {point['levels']} | {rate:g} | {cells[0]} | {cells[1]} | {used:.3f} |")
    for point in report["opus"]:
        rate, ratio, mel = (point[key] for key in ("bitrate_bps", "si_sdr_db", "mel_db"))
        lines.append(f"| Opus | {rate / 1000:g} | {ratio:.2f} | {mel:.2f} | – |")
    return [*lines, ""]


def _other_sounds(report: dict[str, Any]) -> list[str]:
    lines = ["| other sounds, all levels | measured |", "|---|---|"]
    lines += [f"| `{name}` | {value:.3g} |" for name, value in report["other_sounds"].items()]
    return [*lines, ""]


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack a codec, or write its card, from the command line; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m worldmodel.codec_card")
    parser.add_argument("run", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--evaluation", type=Path)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--notes", type=Path, help="a Markdown file put at the top")
    chosen = parser.parse_args(arguments)
    if chosen.evaluation is None:
        print(pack_codec(chosen.run, chosen.target))
    else:
        notes = chosen.notes.read_text(encoding="utf-8") if chosen.notes else ""
        print(write_codec_card(chosen.target, chosen.evaluation, notes, chosen.start))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
