"""Packing a trained CLIP, vision-language or native model to ship: half precision, scores, card.

`python -m worldmodel.reader_card pack clip RUN/clip TARGET` copies the model of a stage in float16;
`--onto MODEL` names the packed one that its training began with, whose account it then keeps.
Then `worldmodel evaluate model=clip checkpoint=TARGET out=EVALUATION` measures what ships, and
`python -m worldmodel.reader_card card TARGET --evaluation EVALUATION` writes the card from its
files. No figure in a card is typed by hand.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from multimodal.clip import ClipModel
from multimodal.errors import CheckpointError, ConfigError
from multimodal.native.model import NativeModel
from multimodal.native.reader import CODES_FOLDER, UNITS_FOLDER
from multimodal.vlm.model import VlmModel
from multimodal.vlm.shared import TEXT_FOLDER
from worldmodel.checkpoint import resolve, verify, write_manifest
from worldmodel.durable import atomic_directory

__all__ = ["main", "pack_reader", "write_reader_card"]

KINDS = ("clip", "vlm", "native")
_MODELS: dict[str, Any] = {"clip": ClipModel, "vlm": VlmModel, "native": NativeModel}
# What goes beside the model as it is: rounding image codes would turn some into others.
_BESIDE = {
    "clip": (TEXT_FOLDER,),
    "vlm": (TEXT_FOLDER,),
    "native": (TEXT_FOLDER, CODES_FOLDER, UNITS_FOLDER),
}
_EYES = {"clip": ("trunk", "reader"), "vlm": ("trunk", "reader"), "native": ("trunk",)}
_TITLES = {
    "native": "Native model: one transformer over text, image, speech and action ids",
    "clip": "CLIP on the world model's trunk",
    "vlm": "Vision-language model on the world model's trunk",
}
_TARGETS = {
    "clip_zero_shot": "≥ 0.90",
    "vlm_count": "≥ 0.90",
    "vlm_colour": "≥ 0.97",
    "vlm_shape": "≥ 0.95",
    "vlm_relation": "≥ 0.90",
    "vlm_moved": "≥ 0.90",
    "vlm_reading": "≥ 0.85",
    "vlm_blank_over_language_only": "≤ 0.02",
    "false_objects_ratio": "≤ 0.7",
    "dpo_accuracy_loss": "≤ 0.01",
    "vlm_answer_ms": "≤ 100",
}


def pack_reader(
    kind: str, stages: Sequence[Path], target: Path, onto: str | Path | None = None
) -> Path:
    """Write a trained model in float16, with the accounts of its stages.

    Args:
        kind: clip, vlm or native.
        stages: folders of the stages of `worldmodel train` that led to it, the last one's model
            is packed.
        target: the new folder; replaced as a whole.
        onto: the packed model that the first stage trained on from (`initial=`), a shipped name or
            a folder; None where the stages began with nothing.

    Returns:
        `target`.

    Raises:
        CheckpointError: a stage is not finished, or `onto` is not what it began with.
        ConfigError: no such kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}.")
    accounts = {} if onto is None else _accounts_before(resolve(onto), stages[0])
    for stage in stages:
        manifest = verify(stage / "model", stage.name)
        accounts[stage.name] = manifest["account"] | {"inputs": manifest["inputs"]}
    model_folder = stages[-1] / "model"
    model = _MODELS[kind].from_pretrained(model_folder)
    with atomic_directory(target) as folder:
        model.to(torch.float16).save_pretrained(folder)
        for part in _BESIDE[kind]:
            shutil.copytree(model_folder / part, folder / part)
        (folder / "training.json").write_text(json.dumps(accounts, indent=2) + "\n", "utf-8")
        write_manifest(folder, kind, {name: model.config[name] for name in _EYES[kind]})
    return target


def _accounts_before(packed: Path, stage: Path) -> dict[str, Any]:
    """The stages of the packed model that a stage began with, under names of their own."""
    began = verify(stage / "model", stage.name)["inputs"].get("initial")
    if began != hashlib.sha256((packed / "model.safetensors").read_bytes()).hexdigest():
        raise CheckpointError(f"{stage} did not begin with {packed}: name its `initial` model.")
    accounts = json.loads((packed / "training.json").read_text(encoding="utf-8"))
    return {_earlier(name): account for name, account in accounts.items()}


def _earlier(name: str) -> str:
    """A stage's name where one more model was trained on to: "clip, before", "clip, 2 before"."""
    stage, _, when = name.partition(", ")
    models = {"": 1, "before": 2}.get(when) or 1 + int(when.removesuffix(" before"))
    return f"{stage}, before" if models == 1 else f"{stage}, {models} before"


def write_reader_card(
    target: Path, evaluation: Path, command: str, notes: str = "", tables: Sequence[Path] = ()
) -> Path:
    """Write `README.md` and `scores.json` into a packed model's folder and renew its manifest.

    Args:
        target: the packed model.
        evaluation: the folder of `worldmodel evaluate` on it.
        command: that made the evaluation.
        notes: Markdown on what a reader should know beside the figures.
        tables: folders of comparisons (`worldmodel train objective=mixture` and the like), whose
            `table.json` and `metrics.json` go into `scores/` and whose tables into the card.

    Returns:
        The card's path.

    Raises:
        CheckpointError: model or evaluation are missing or damaged.
    """
    manifest = verify(target)
    kind = str(manifest["kind"])
    report = evaluation / "report.json"
    if not report.is_file():
        raise CheckpointError(f"{report} is missing: run `worldmodel evaluate model={kind}` first.")
    figures = json.loads(report.read_text(encoding="utf-8"))["figures"]
    accounts = json.loads((target / "training.json").read_text(encoding="utf-8"))
    lines = [f"# Model card: {_TITLES[kind]}", "", *([notes.strip(), ""] if notes.strip() else [])]
    lines += [_eyes(manifest), ""]
    lines += ["## Figures", "", "```", command, "```", "", *_score_table(figures), ""]
    lines += ["## Training", "", *_stage_table(accounts), ""]
    for folder in tables:
        lines += _comparison(folder, target / "scores")
    card = target / "README.md"
    card.write_text("\n".join(lines), encoding="utf-8")
    shutil.copyfile(report, target / "scores.json")
    write_manifest(target, kind, {name: manifest[name] for name in _EYES[kind]})
    return card


def _comparison(folder: Path, scores: Path) -> list[str]:
    """A comparison's table as a section of the card; its files go into `scores`."""
    path, figures = folder / "table.json", folder / "metrics.json"
    if not (path.is_file() and figures.is_file()):
        raise CheckpointError(f"{folder} holds no finished comparison (table.json, metrics.json).")
    table = json.loads(path.read_text(encoding="utf-8"))
    if "command" not in table:
        raise CheckpointError(f"{path} does not say which command wrote it; run that once more.")
    scores.mkdir(exist_ok=True)
    table["figures"] = json.loads(figures.read_text(encoding="utf-8"))
    (scores / f"{folder.name}.json").write_text(json.dumps(table, indent=2) + "\n", "utf-8")
    columns = list(dict.fromkeys(name for row in table["rows"].values() for name in row))
    lines = [f"## {table['title']}", "", "```", table["command"], "```", ""]
    lines += ["| | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for arm, row in table["rows"].items():
        values = [f"{row[name]:.4g}" if name in row else "" for name in columns]
        lines.append(f"| {arm} | " + " | ".join(values) + " |")
    return [*lines, ""]


def _eyes(manifest: dict[str, Any]) -> str:
    """Whose tokens it reads, as a sentence."""
    said = f"It reads the tokens of the encoder `{manifest['trunk']}`"
    if "reader" in manifest:
        said += f" and the things that the reader of layers `{manifest['reader']}` cuts out"
    return f"{said}; others are refused."


def _score_table(figures: dict[str, dict[str, float]]) -> list[str]:
    lines = ["| figure | measured | 95% interval | cases | target |", "|---|---|---|---|---|"]
    for name, figure in figures.items():
        lines.append(
            f"| `{name}` | {figure['value']:.3f} | {figure['low']:.3f} to {figure['high']:.3f} | "
            f"{figure['count']:.0f} | {_TARGETS.get(name, '–')} |"
        )
    return lines


def _stage_table(accounts: dict[str, Any]) -> list[str]:
    lines = [
        "| stage | steps | samples | trainable parameters | minutes | device | precision |",
        "|---|---|---|---|---|---|---|",
    ]
    for stage, account in accounts.items():
        lines.append(
            f"| {stage} | {account['steps']:,} | {account['samples']:,} | "
            f"{account['trainable_parameters']:,} | {account['seconds'] / 60:.1f} | "
            f"{account['device']} | {account['precision']} |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack a model, or write its card, from the command line; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m worldmodel.reader_card")
    steps = parser.add_subparsers(dest="step", required=True)
    pack = steps.add_parser("pack")
    pack.add_argument("kind", choices=KINDS)
    pack.add_argument("stages", type=Path, nargs="+", help="folders of its stages, the last is it")
    pack.add_argument("target", type=Path)
    pack.add_argument("--onto", help="the packed model that the first of the stages began with")
    card = steps.add_parser("card")
    card.add_argument("target", type=Path)
    card.add_argument("--evaluation", type=Path, required=True)
    card.add_argument("--command", required=True, help="the command of the evaluation")
    card.add_argument("--notes", type=Path, help="a Markdown file put at the top")
    card.add_argument("--tables", type=Path, nargs="*", default=[], help="folders of comparisons")
    chosen = parser.parse_args(arguments)
    if chosen.step == "pack":
        print(pack_reader(chosen.kind, chosen.stages, chosen.target, chosen.onto))
        return 0
    notes = chosen.notes.read_text(encoding="utf-8") if chosen.notes else ""
    target, evaluation = chosen.target, chosen.evaluation
    print(write_reader_card(target, evaluation, chosen.command, notes, chosen.tables))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
