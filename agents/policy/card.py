"""Packs a trained policy for shipping, with a model card from what the commands wrote.

`python -m agents.policy.card RUN EVALUATION TARGET [--notes FILE]`
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.policy.evaluation import ENOUGH
from agents.policy.policy import Policy
from agents.policy.rivals import RIVALS
from agents.policy.trunks import LATENTS
from multimodal.errors import CheckpointError
from worldmodel.checkpoint import MANIFEST, verify, write_manifest
from worldmodel.durable import atomic_directory

__all__ = ["pack_policy"]


def _named(rival: str) -> str:
    kind, _, sees = rival.partition("_")
    return f"{kind.upper()} in MuJoCo from {sees or 'true state'}"


_RIVALS = tuple(
    row
    for name in RIVALS
    for row in (
        (f"success_{name}_same_minutes", f"{_named(name)}, after as many minutes", ""),
        (f"success_{name}_same_frames", f"{_named(name)}, after as many frames", ""),
        (f"success_{name}", f"{_named(name)}, where it was stopped", ""),
        (f"{name}_frames", "… after so many steps", ""),
        (f"{name}_minutes", "… and minutes of one core's time", ""),
    )
)
_TARGETS = (
    ("success_mujoco", "success in MuJoCo", "≥ 0.70"),
    ("success_over_cloning", "… minus that of behaviour cloning, over more starts", "> 0"),
    ("gain_over_cloning", "… return minus that of behaviour cloning", ""),
    ("duel_trials", "… of so many starts, those of the other figures among them", ""),
    ("transfer_ratio", "… over success in the model", "≥ 0.85"),
    ("rank_pearson", "Pearson r of success over all policies, model against MuJoCo", "≥ 0.9"),
    ("rank_mmrv", "mean maximum rank violation", "≤ 0.1"),
    ("exploitation_ratio", "gain in the model over gain in MuJoCo", "≤ 1.15"),
    ("optimism_bias", "chance that the model sees success where MuJoCo fails", ""),
    ("return_gap", "gain in the model minus gain in MuJoCo", ""),
    ("train_steps_per_s", "imagined steps/s of training, 64 environments", "≥ 1,500"),
    ("train_over_sb3", "… over PPO of Stable-Baselines3 on rendered Pusher-v5", "≥ 10"),
    ("train_minutes", "minutes of training, by the wall clock", "≤ 30"),
    ("train_cpu_minutes", "… of one core's time", ""),
    ("imagined_steps", "steps imagined", ""),
    ("recorded_frames", "frames recorded in MuJoCo that it all rests on", ""),
    *_RIVALS,
)


def pack_policy(run: Path, evaluation: Path, target: Path, notes: str = "") -> Path:
    """Write the policy of a run, its records and its card into one folder with a manifest.

    Args:
        run: the folder of `worldmodel policy train`.
        evaluation: the folder of `worldmodel policy evaluate`.
        target: the checkpoint's folder.
        notes: Markdown for the top of the card.

    Returns:
        The target.

    Raises:
        CheckpointError: a part is missing, or the policy is damaged.
    """
    verify(run / "policy", Policy.KIND)
    parts = {
        "training.json": run / "training.json",
        "scores.json": evaluation / "metrics.json",
        "ranking.png": evaluation / "ranking.png",
    }
    report = evaluation / "report.json"
    for path in (*parts.values(), report):
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: let the command that writes it end first.")
    training, scores = (json.loads(parts[n].read_text()) for n in ("training.json", "scores.json"))
    with atomic_directory(target) as hidden:
        for path in (run / "policy").iterdir():
            if path.name != MANIFEST:
                shutil.copy(path, hidden / path.name)
        for name, path in parts.items():
            shutil.copy(path, hidden / name)
        sees = json.loads((run / "policy" / "config.json").read_text()).get("sees", LATENTS)
        card = _card(training, scores, json.loads(report.read_text()), sees, notes)
        (hidden / "README.md").write_text(card, encoding="utf-8")
        write_manifest(hidden, Policy.KIND)
    return target


def _card(
    training: Mapping[str, Any],
    scores: Mapping[str, float],
    report: Mapping[str, Any],
    sees: str,
    notes: str,
) -> str:
    rows = [
        f"| {words} (`{name}`) | {_shown(name, scores)} | {wanted} |"
        for name, words, wanted in _TARGETS
        if name in scores and (not name.startswith("rank_") or scores["policies"] >= ENOUGH)
    ]
    policies = [
        f"| {row['name']} | {_cell(row, 'success_mujoco')} | {_cell(row, 'success_model')} | "
        f"{_cell(row, 'gain_mujoco')} | {_cell(row, 'gain_model')} |"
        for row in report["policies"]
    ]
    used = training.get("cpu_seconds", {})
    seconds = [
        f"| {stage} | {value / 60:.1f} | {used.get(stage, 0.0) / 60:.1f} |"
        for stage, value in training["seconds"].items()
    ]
    lines = [
        "# A policy for the Push table, trained inside the world model",
        "",
        f"Sees the {sees} that the `push` model makes of a frame, takes a goal, moves the pusher.",
        "`Policy.from_pretrained().act(frames, goals)`; goals in words by `goals_of`, as",
        "pictures by `aims_of_images`.",
        "",
        *([notes.strip(), ""] if notes.strip() else []),
        f"`{report['command']}`, {int(scores['trials'])} held-out starts, none solved already; an",
        "episode succeeds within that many steps or not at all. Gain is the return minus that of",
        "standing still. 95% bootstrap intervals over starts.",
        "",
        "| figure | measured | target |",
        "|---|---|---|",
        *rows,
        "",
        "| policy | success in MuJoCo | in the model | gain in MuJoCo | in the model |",
        "|---|---|---|---|---|",
        *policies,
        "",
        f"Trained by `{training['command']}` on {training['hardware']['processor']},",
        f"{training['hardware']['threads']} thread(s).",
        "",
        "| stage | minutes | of one core's time |",
        "|---|---|---|",
        *seconds,
        "",
    ]
    return "\n".join(lines)


def _shown(name: str, scores: Mapping[str, float]) -> str:
    text = f"{scores[name]:,.3g}" if scores[name] < 1000 else f"{scores[name]:,.0f}"
    if f"{name}_low" in scores:
        text += f" ({scores[f'{name}_low']:.2f} to {scores[f'{name}_high']:.2f})"
    return text


def _cell(row: Mapping[str, Any], name: str) -> str:
    return f"{row[name]:.2f} ({row[f'{name}_low']:.2f}–{row[f'{name}_high']:.2f})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack a policy from the command line; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m agents.policy.card")
    parser.add_argument("run", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--notes", type=Path, help="a Markdown file put at the top")
    chosen = parser.parse_args(arguments)
    notes = chosen.notes.read_text(encoding="utf-8") if chosen.notes else ""
    print(pack_policy(chosen.run, chosen.evaluation, chosen.target, notes))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
