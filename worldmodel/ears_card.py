"""Packing trained ears to ship, and their model card.

`python -m worldmodel.ears_card RECOGNISER SPOTTER TARGET` puts the models of two runs of
`worldmodel train` (objective=recogniser and objective=spotter) into TARGET in float16; `none` for
the first leaves understanding to PocketSphinx. `--choose COMMANDS` sets the spotter's thresholds on
the recorded commands that both learned from, and so takes no `--threshold` or `--suspicion`. Then
`worldmodel evaluate model=ears checkpoint=TARGET out=EVALUATION` measures what ships, and the same
command with `--evaluation EVALUATION` writes the card from its files; `--rival` adds a run of
`worldmodel evaluate model=ears recogniser=sphinx`, on the same utterances. No figure in its tables
is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from multimodal.errors import CheckpointError, ConfigError
from multimodal.speech.corpus import open_commands
from worldmodel.checkpoint import atomic_directory, verify, write_manifest
from worldmodel.ears import ears_networks, pack_ears
from worldmodel.evaluation.ears_thresholds import chosen_thresholds

__all__ = ["choose_thresholds", "main", "write_ears_card"]

_KIND = "ears"
_ROWS = (
    ("command_match_clean", "command understood exactly, engines and speakers never heard", "–"),
    ("command_match_20db", "the same at 20 dB", "≥ 0.97"),
    ("command_match_10db", "the same at 10 dB", "≥ 0.90"),
    ("command_match_5db", "the same at 5 dB", "≥ 0.70"),
    ("wer_20db", "word error rate at 20 dB", "–"),
    ("stop_recall", "stop words caught at 10 and 20 dB, espeak's held-out accents too", "≥ 0.99"),
    ("stop_recall_engines", "the same, engines and speakers never heard alone", "–"),
    ("stop_ms_p95", "end of the word to the report, 95th percentile, ms", "≤ 300"),
    ("stop_false_per_10min", "stops heard in ten minutes of babble", "≤ 1"),
    ("endpoint_ms_p50", "end of speech to the end event, median, ms", "–"),
    ("endpoint_ms_p95", "the same, 95th percentile, ms", "–"),
    ("real_time_factor", "seconds of computing for a second of sound", "< 1"),
    ("noise_understood", "silence and noise that give words", "0"),
    ("gibberish_understood", "English that is no command but gives one", "0"),
    ("foreign_understood", "other languages that give a command", "0"),
)


def write_ears_card(
    checkpoint: Path, evaluation: Path, notes: str = "", rival: Path | None = None
) -> Path:
    """Write `README.md` and the scores into packed ears.

    Args:
        checkpoint: as `pack_ears` wrote it.
        evaluation: a run of `worldmodel evaluate model=ears` on it.
        notes: Markdown on what a reader should know beside the figures.
        rival: a run of the same command with `recogniser=sphinx`.

    Returns:
        The card's path.

    Raises:
        CheckpointError: the checkpoint or the run's files are missing or damaged.
    """
    verify(checkpoint, _KIND)
    training, figures = _json(checkpoint / "training.json"), _json(evaluation / "metrics.json")
    report = _json(evaluation / "ears.json")
    lines = [f"# Model card: {checkpoint.name}", "", notes.strip(), ""]
    lines += ["## Scores (`worldmodel evaluate model=ears`)", ""]
    lines += ["| figure | `metrics.json` | measured | target |", "|---|---|---|---|"]
    for name, label, target in _ROWS:
        if name in figures:
            lines.append(f"| {label} | `{name}` | {figures[name]:.4g} | {target} |")
    lines += ["", *_table(report), ""]
    if rival is not None:
        lines += _beside(figures, _json(rival / "metrics.json"))
    lines += [*_thresholds(checkpoint), "## How they came to be", ""]
    for part, account in training.items():
        lines += _origin(part, account)
    if "recogniser" not in training:
        lines += [
            "There is no recogniser among them: PocketSphinx understands, with the grammar",
            "",
        ]
        lines[-2] += " of the world's vocabulary (`pip install 'worldmodel[sphinx]'`)."
    with _changed(checkpoint) as folder:
        if rival is not None:
            shutil.copyfile(rival / "metrics.json", folder / "scores" / "evaluate_sphinx.json")
        shutil.copyfile(evaluation / "metrics.json", folder / "scores" / "evaluate.json")
        (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")
    return checkpoint / "README.md"


@contextmanager
def _changed(checkpoint: Path) -> Iterator[Path]:
    """A copy of packed ears to change, which takes their place as a whole."""
    with atomic_directory(checkpoint) as folder:
        shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
        (folder / "scores").mkdir(exist_ok=True)
        yield folder
        write_manifest(folder, _KIND)


def choose_thresholds(checkpoint: Path, commands: Path, minutes: int = 10) -> Path:
    """Set the thresholds of packed ears on voices that are no test's, and write down how.

    Args:
        checkpoint: as `pack_ears` wrote it, with a recogniser.
        commands: the spoken commands that it learned from; the single words lie beside them.
        minutes: of babble in which stops are heard that nobody said.

    Returns:
        `scores/thresholds.json` in it.

    Raises:
        CheckpointError: the checkpoint is missing or damaged, or lacks a recogniser.
        ConfigError: no minutes of babble.
        DatasetError: the commands or the single words are missing or damaged.
    """
    spotter, model = ears_networks(checkpoint)
    corpora = open_commands(f"{commands}-words"), open_commands(commands)
    choice, tried = chosen_thresholds(spotter, model, *corpora, minutes)
    spotter.register_to_config(threshold=choice.threshold, suspicion=choice.suspicion)
    account = {
        "chosen": asdict(choice),
        "commands": commands.name,
        "babble_minutes": minutes,
        "tried": [asdict(each) for each in tried],
    }
    with _changed(checkpoint) as folder:
        spotter.save_config(folder / "spotter")
        written = json.dumps(account, indent=1) + "\n"
        (folder / "scores" / "thresholds.json").write_text(written, encoding="utf-8")
    return checkpoint / "scores" / "thresholds.json"


def _thresholds(checkpoint: Path) -> list[str]:
    path = checkpoint / "scores" / "thresholds.json"
    if not path.is_file():
        return []
    account = _json(path)
    chosen = account["chosen"]
    return [
        f"The spotter asks from a probability of {chosen['suspicion']:g} on and reports from a "
        f"confidence of {chosen['threshold']:g} on. Both were chosen among {len(account['tried'])} "
        f"pairs (`scores/thresholds.json`) on `{account['commands']}`: stop words in voices "
        f"of validation, babble in these and in those of training. There they caught "
        f"{chosen['recall']:.3f} of the stop words, with {chosen['false_per_10min']:g} false ones "
        f"for ten minutes of babble and for {chosen['false_share']:.3f} of ordinary sentences, "
        f'took {chosen["alike_share"]:.3f} of single words like "top" and "salt" for one, and '
        f"asked the recogniser {chosen['asked_per_s']:.1f} times a second.",
        "",
    ]


def _beside(ears: dict[str, float], sphinx: dict[str, float]) -> list[str]:
    levels = ("clean", "20db", "10db", "5db")
    lines = [
        "| understood exactly, engines and speakers never heard | clean | 20 dB | 10 dB | 5 dB |",
        "|---|---|---|---|---|",
    ]
    for who, figures in (("ears", ears), ("PocketSphinx with the same grammar", sphinx)):
        names = (f"command_match_{level}" for level in levels)
        shares = [f"{figures[each]:.3f}" if each in figures else "–" for each in names]
        lines.append(f"| {who} | {' | '.join(shares)} |")
    return [*lines, ""]


def _table(report: dict[str, Any]) -> list[str]:
    lines = [
        "| voices | speech to noise, dB | understood exactly (95%) | word error rate |",
        "|---|---|---|---|",
    ]
    for row in report["table"]:
        match = row["match"]
        share = f"{match['value']:.3f} ({match['low']:.3f} to {match['high']:.3f})"
        level = "clean" if row["level"] is None else row["level"]
        lines.append(f"| {row['group']} | {level} | {share} | {row['wer']:.3f} |")
    return lines


def _origin(part: str, training: dict[str, Any]) -> list[str]:
    data, stage = training["dataset"], training["stages"][part]
    voices = ", ".join(f"{count} of {engine}" for engine, count in data["voices"].items())
    averaged = training.get("averaged", [])
    steps = ", ".join(f"{int(Path(each).name.rpartition('-')[2]):,}" for each in averaged)
    mean = f" The weights are the mean of those at steps {steps}." if averaged else ""
    return [
        f"The {part}:",
        "",
        "```",
        training["command"],
        "```",
        "",
        f"{stage['trainable_parameters']:,} parameters, {stage['steps']:,} steps, "
        f"{stage['seconds'] / 60:.1f} minutes on {stage['device']} in {stage['precision']}, seed "
        f"{training['seed']}. Speech made on the same machine: `{data['id']}`, "
        f"{data['utterances']:,} utterances, {data['minutes']} minutes, fingerprint "
        f"`{data['fingerprint']}`; voices: {voices}.{mean} Weights are stored in float16.",
        "",
    ]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Run the command again.") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack ears, or write their card, from the command line; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m worldmodel.ears_card")
    parser.add_argument("recogniser", type=Path)
    parser.add_argument("spotter", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--threshold", type=float, help="of the spotter")
    parser.add_argument("--suspicion", type=float, help="from which on the recogniser confirms")
    parser.add_argument("--evaluation", type=Path)
    parser.add_argument("--rival", type=Path, help="a run with recogniser=sphinx")
    parser.add_argument("--notes", type=Path, help="a Markdown file put at the top")
    parser.add_argument("--average", type=Path, nargs="*", default=[],
                        help="checkpoints whose mean is the recogniser")  # fmt: skip
    parser.add_argument("--choose", type=Path, help="commands to choose both thresholds on")
    parser.add_argument("--minutes", type=int, default=10, help="of babble to choose them in")
    chosen = parser.parse_args(arguments)
    if chosen.choose is not None and (chosen.threshold, chosen.suspicion) != (None, None):
        raise ConfigError("--choose finds both thresholds: leave --threshold and --suspicion out.")
    if chosen.evaluation is None:
        recogniser = None if str(chosen.recogniser) == "none" else chosen.recogniser
        thresholds = chosen.threshold, chosen.suspicion
        print(pack_ears(recogniser, chosen.spotter, chosen.target, *thresholds, chosen.average))
        if chosen.choose is not None:
            print(choose_thresholds(chosen.target, chosen.choose, chosen.minutes))
    else:
        notes = chosen.notes.read_text(encoding="utf-8") if chosen.notes else ""
        print(write_ears_card(chosen.target, chosen.evaluation, notes, chosen.rival))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
