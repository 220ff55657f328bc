"""`worldmodel train objective=mixture`: what the native model learns from which mixture.

Every arm trains the same small native model for the same number of steps. `tokens` counts each
token the same, so that actions, two tokens in a row among hundreds, starve; `balanced` lets each
modality pull with its share; the others are balanced too and take more rows of one kind. An arm
regresses nothing if no modality's loss on held-out scenes is worse than where tokens are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib
import torch
from omegaconf import OmegaConf
from torch import Tensor

from multimodal.errors import ConfigError
from multimodal.native.rows import ROW_KINDS, NativeRows
from multimodal.sequence import collate
from worldmodel.comparisons.arms import train_arm
from worldmodel.comparisons.table import write_table
from worldmodel.objectives.native import LEARNED, NativeObjective
from worldmodel.runs import RunDirectory
from worldmodel.training.chain import stage_settings
from worldmodel.training.clip_stage import seen_latents
from worldmodel.training.native_stages import look_words, native_model, senses_of

if TYPE_CHECKING:
    from worldmodel.training.stages import Source

__all__ = ["arms_of", "chosen", "compare"]

_DRAWS = 2**22
_TOLERANCE = 0.01
_RAISED = 2.0

Arm = tuple[dict[str, float], dict[str, float] | None]


def arms_of(mixture: Mapping[str, float], pull: Mapping[str, float]) -> dict[str, Arm]:
    """Each arm's mixture of rows, and its shares of the pull; None counts tokens.

    Args:
        mixture: shares of the kinds of rows.
        pull: shares of the modalities.
    """
    arms: dict[str, Arm] = {
        "tokens": (dict(mixture), None),
        "balanced": (dict(mixture), dict(pull)),
    }
    for kind in ("see", "draw"):
        raised = {name: share * (_RAISED if name == kind else 1) for name, share in mixture.items()}
        arms[f"more_{kind}"] = (raised, dict(pull))
    return arms


def chosen(losses: Mapping[str, Mapping[str, float]], baseline: str = "tokens") -> str:
    """The arm that regresses nothing against the baseline and gains most; else the baseline.

    Args:
        losses: arm to modality to loss.
        baseline: the arm to compare with.
    """
    before = losses[baseline]
    gains = {}
    for arm, now in losses.items():
        relative = [now[name] / before[name] - 1 for name in before]
        if max(relative) <= _TOLERANCE:
            gains[arm] = -sum(relative)
    return max(gains, key=lambda arm: gains[arm])


def compare(source: Source, directory: RunDirectory) -> dict[str, float]:
    """Train every arm and judge all on the same held-out rows.

    Args:
        source: of the verb `train`; `from_run` or `out` holds the stage `image_codes`.
        directory: gets a folder for each arm, `table.json`, `table.md` and `curves.png`.

    Returns:
        For each arm its losses by modality in nats a token, and whether it regresses nothing.

    Raises:
        ConfigError: no shares of the pull.
        CheckpointError: the stage `image_codes` is not done there.
    """
    cfg = source.cfg
    if cfg.pull is None:
        raise ConfigError("the balanced arms need shares of the pull: leave pull as it is.")
    senses = senses_of(source)
    latents = seen_latents(source, source.flat, cfg.data)
    mixture: Any = OmegaConf.to_container(cfg.mixture, resolve=True)
    pull: Any = OmegaConf.to_container(cfg.pull, resolve=True)
    settings = stage_settings(source, "mixture")

    def rows(split: str, seed: int, samples: int, shares: Mapping[str, float]) -> NativeRows:
        return NativeRows(source.flat, latents, senses, split, seed, samples, shares)

    even = dict.fromkeys(ROW_KINDS, 1.0)
    count = int(cfg.size.mixture.validation_rows)
    held_out = rows("validation", 0, count, even)
    losses: dict[str, dict[str, float]] = {}
    for name, (shares, balance) in arms_of(mixture, pull).items():
        torch.manual_seed(settings.seed)
        arm = NativeObjective(
            native_model(source, senses, "mixture"), look_words(senses), shares=balance
        )
        train_arm(
            source,
            arm,
            rows("train", cfg.seed, _DRAWS, shares),
            held_out,
            settings,
            RunDirectory(directory.path / name),
            lambda batch: collate(batch, senses.vocabulary),
        )
        losses[name] = _held_out(arm, held_out, senses.vocabulary)
    best = chosen({arm: {m: row[m] for m in LEARNED} for arm, row in losses.items()})
    table = {arm: {**row, "chosen": float(arm == best)} for arm, row in losses.items()}
    write_table(directory, "Losses on held-out scenes, nats a token, at equal steps", table)
    _curves(directory, list(losses))
    return _figures(losses, best)


@torch.no_grad()
def _held_out(arm: NativeObjective, rows: NativeRows, words: Any) -> dict[str, float]:
    """Mean loss of each modality over all held-out rows, and the share of tokens said rightly."""
    sums: dict[str, list[float]] = {}
    for start in range(0, len(rows), 16):
        some = [rows[k] for k in range(start, min(start + 16, len(rows)))]
        figures: Mapping[str, Tensor] = arm(**collate(some, words))
        for name, value in figures.items():
            if not name.startswith(("loss", "weight")):
                sums.setdefault(name, []).append(float(value))
    return {name: sum(values) / len(values) for name, values in sums.items()}


def _figures(losses: Mapping[str, Mapping[str, float]], best: str) -> dict[str, float]:
    figures = {
        f"mixture_{arm}_{name}": row[name]
        for arm, row in losses.items()
        for name in (*LEARNED, "action_right", "text_right")
    }
    figures["mixture_chosen_is_balanced"] = float(best != "tokens")
    tokens, balanced = losses["tokens"], losses["balanced"]
    return figures | {
        "mixture_starved_action_loss": tokens["action"],
        "mixture_recovered_action_loss": balanced["action"],
    }


def _curves(directory: RunDirectory, arms: list[str]) -> None:
    """Each modality's loss over training, all arms in one picture."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(LEARNED), figsize=(4 * len(LEARNED), 3))
    for axis, name in zip(axes, LEARNED, strict=True):
        for arm in arms:
            history = RunDirectory(directory.path / arm).history()
            points = [(row["step"], row[name]) for row in history if row.get(name) is not None]
            axis.plot(*zip(*points, strict=True), label=arm)
        axis.set(title=name, xlabel="step", ylabel="nats a token")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(directory.path / "curves.png", dpi=100)
    pyplot.close(figure)
