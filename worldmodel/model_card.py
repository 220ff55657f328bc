"""The model card of a checkpoint, written from the files that the commands wrote.

`python -m worldmodel.model_card CHECKPOINT --gap RUN --bench RUN --recipes RUN [RUN ...]` copies
the runs' `metrics.json` into `CHECKPOINT/scores/`, writes `README.md` from them and from
`training.json`, and renews the manifest. No figure in a card is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multimodal.errors import CheckpointError
from worldmodel.checkpoint import verify, write_manifest

__all__ = ["main", "write_model_card"]

_GAP_ROWS = (
    ("pusher_error_m_16", "pusher position error after 16 steps, m", "≤ 0.01"),
    ("pusher_error_m_64", "pusher position error after 64 steps, m", "≤ 0.02"),
    ("object_error_m_16", "position error of moved objects after 16 steps, m", "≤ 0.02"),
    ("object_error_over_frozen_16", "the same over the frozen frame's", "≤ 0.5"),
    ("permanence_64", "right objects present over 64 steps", "≥ 0.99"),
    ("permanence_600", "right objects present over 600 steps", "≥ 0.95"),
    ("psnr_1", "PSNR after 1 step, dB", "≥ 30"),
    ("psnr_16", "PSNR after 16 steps, dB", "≥ 26"),
    ("psnr_over_frozen_min", "smallest PSNR lead over the frozen frame, dB", "> 0"),
)
_BENCH_ROWS = (
    ("fps_single", "frames/s, one environment", "≥ 100"),
    ("fps_single_over_pusher", "the same over rendered `Pusher-v5`", "≥ 2.5"),
    ("fps_batched_16", "frames/s, 16 environments in a batch", "≥ 400"),
    ("matmul_share", "share of the machine's matrix-product peak", "≥ 0.4"),
    ("step_time_ratio", "time of step 10,000 over step 100", "0.95–1.05"),
    ("rss_ratio", "memory at step 10,000 over step 100", "≤ 1.01"),
)
_RECIPE_COLUMNS = ("psnr_1", "psnr_4", "psnr_16", "psnr_64", "pusher_error_m_16", "permanence_64")


def _figures(run: Path) -> dict[str, float]:
    path = run / "metrics.json"
    try:
        figures: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Run the command again.") from error
    return figures


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _score_table(
    rows: Sequence[tuple[str, str, str]],
    figures: dict[str, float],
    alone: dict[str, float] | None = None,
) -> list[str]:
    """The figures with their targets, beside those of the dynamics alone where they are known."""
    heads, rule = ("| dynamics alone ", "|---") if alone is not None else ("", "")
    lines = [
        f"| figure | `metrics.json` | measured {heads}| target |",
        f"|---|---|---|---{rule}|",
    ]
    for name, label, target in rows:
        beside = "" if alone is None else f"| {_shown(alone.get(name))} "
        shown = _shown(figures.get(name))
        lines.append(f"| {label} | `{name}` | {shown} {beside}| {target} |")
    return [*lines, ""]


def _stage_table(training: dict[str, Any]) -> list[str]:
    lines = [
        "| stage | parameters | steps | batch | minutes | device |",
        "|---|---|---|---|---|---|",
    ]
    for name, stage in training["stages"].items():
        lines.append(
            f"| {name} | {stage['trainable_parameters']:,} | {stage['steps']:,} | "
            f"{stage['settings']['batch_size']} | {stage['seconds'] / 60:.1f} | "
            f"{stage['device']}, {stage['precision']} |"
        )
    return [*lines, ""]


def _recipe_table(runs: Sequence[Path]) -> list[str]:
    heads = " | ".join(f"`{name}`" for name in _RECIPE_COLUMNS)
    lines = [f"| recipe | {heads} |", "|---" * (len(_RECIPE_COLUMNS) + 1) + "|"]
    for run in runs:
        figures = _figures(run)
        cells = " | ".join(_shown(figures.get(name)) for name in _RECIPE_COLUMNS)
        lines.append(f"| {run.name} | {cells} |")
    return [*lines, ""]


def _origin(training: dict[str, Any]) -> list[str]:
    data, hardware = training["dataset"], training["hardware"]
    graphics = ", ".join(hardware["gpus"]) or "no GPU"
    return [
        "## How it came to be",
        "",
        "```",
        training["command"],
        "```",
        "",
        f"Data: `{data['id']}`, {data['episodes']:,} episodes, {data['frames']:,} frames, "
        f"fingerprint `{data['fingerprint']}`. Seed {training['seed']}. Hardware: "
        f"{hardware['processor']}, {hardware['cores']} cores, {hardware['memory_gb']} GB, "
        f"{graphics}.",
        "",
        *_stage_table(training),
    ]


def write_model_card(
    checkpoint: Path,
    gap: Path,
    bench: Path | None = None,
    recipes: Sequence[Path] = (),
    notes: str = "",
    pictures: Sequence[Path] = (),
    alone: Path | None = None,
) -> Path:
    """Write `README.md` and `scores/` into a checkpoint's folder and renew its manifest.

    Args:
        checkpoint: a pipeline's folder, as `worldmodel train` writes it.
        gap: a run of `worldmodel gap` on it.
        bench: a run of `worldmodel bench` on it.
        recipes: runs of `worldmodel gap` on models of other recipes at equal compute.
        notes: Markdown on what a reader should know beside the figures.
        pictures: PNG files to copy into the checkpoint and show in the card.
        alone: a run of `worldmodel gap layers=false` on it.

    Returns:
        The card's path.

    Raises:
        CheckpointError: the checkpoint or a run's figures are missing or damaged.
    """
    manifest = verify(checkpoint)
    training = json.loads((checkpoint / "training.json").read_text(encoding="utf-8"))
    lines = [f"# Model card: {checkpoint.name}", "", *([notes.strip(), ""] if notes else [])]
    lines += _origin(training)
    lines += ["## Gap to MuJoCo (`worldmodel gap`)", ""]
    plain = None if alone is None else _figures(alone)
    lines += _score_table(_GAP_ROWS, _figures(gap), plain)
    if bench is not None:
        lines += ["## Speed (`worldmodel bench`)", "", *_score_table(_BENCH_ROWS, _figures(bench))]
    if recipes:
        lines += ["## Recipes at equal compute (`worldmodel gap`)", "", *_recipe_table(recipes)]
    for picture in pictures:
        shutil.copyfile(picture, checkpoint / picture.name)
        lines += [f"![{picture.stem}]({picture.name})", ""]
    scores = checkpoint / "scores"
    scores.mkdir(exist_ok=True)
    for name, run in (("gap", gap), ("bench", bench), ("gap_dynamics", alone)):
        if run is not None:
            shutil.copyfile(run / "metrics.json", scores / f"{name}.json")
    for run in recipes:
        shutil.copyfile(run / "metrics.json", scores / f"recipe_{run.name}.json")
    card = checkpoint / "README.md"
    card.write_text("\n".join(lines), encoding="utf-8")
    write_manifest(checkpoint, str(manifest["kind"]))
    return card


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a card from the command line; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m worldmodel.model_card")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--gap", type=Path, required=True)
    parser.add_argument("--alone", type=Path, help="a run of worldmodel gap layers=false")
    parser.add_argument("--bench", type=Path)
    parser.add_argument("--recipes", type=Path, nargs="*", default=[])
    parser.add_argument("--pictures", type=Path, nargs="*", default=[])
    parser.add_argument("--notes", type=Path, help="a Markdown file put at the top")
    chosen = parser.parse_args(arguments)
    notes = chosen.notes.read_text(encoding="utf-8") if chosen.notes else ""
    card = write_model_card(
        chosen.checkpoint,
        chosen.gap,
        chosen.bench,
        chosen.recipes,
        notes,
        chosen.pictures,
        chosen.alone,
    )
    print(card)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
