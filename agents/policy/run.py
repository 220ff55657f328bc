"""`worldmodel policy train` and `worldmodel policy evaluate`."""

from __future__ import annotations

from omegaconf import DictConfig
from rich.console import Console

from agents.policy.made_with import MADE_WITH
from multimodal.errors import ConfigError
from worldmodel.runs import RunDirectory

__all__ = ["run"]

_TIMES = "seconds.json"
# What both kinds of training go on from.
_LEFT = (
    *(
        _TIMES,
        MADE_WITH,
        "rounds.json",
        "eyes",
        "cloning",
        "clone",
        "anew",
        "imagination",
        "imagination-*",
        "round-*",
    ),
    *("beginnings-*", "data", "latents", "trunk", "training-*", "world", "world-*"),
    *("policy", "policy-*"),
)


def run(cfg: DictConfig) -> int:
    """Train a policy in a world model, or measure what such training was worth.

    Args:
        cfg: the composed configuration of the verb `policy`.

    Returns:
        The exit code 0.

    Raises:
        ConfigError: an unknown mode, or values out of range.
        CheckpointError: a policy or world model is missing, damaged, or they do not fit together.
        DatasetError: no recordings to learn from.
    """
    if cfg.mode not in ("train", "evaluate"):
        raise ConfigError(f"policy knows the modes train and evaluate, not {cfg.mode!r}.")
    if cfg.resume not in ("auto", "never"):
        raise ConfigError(f"resume={cfg.resume}; policy knows auto and never.")
    folder = RunDirectory.open(f"policy-{cfg.mode}", cfg.out)
    if cfg.mode == "train" and cfg.resume == "never" and (folder.path / _TIMES).is_file():
        from worldmodel.training.history import set_aside

        set_aside(folder, _LEFT)
    folder.write_config(cfg)
    if cfg.experiment.name != "push":
        from agents.policy.tasks.training import evaluate_task, train_task

        figures = (train_task if cfg.mode == "train" else evaluate_task)(cfg, folder)
    elif cfg.mode == "train":
        from agents.policy.training import train

        figures = train(cfg, folder)
    else:
        from agents.policy.evaluation import evaluate

        figures = evaluate(cfg, folder)
    folder.write_metrics(figures)
    Console().print(f"wrote {folder.path}/metrics.json", highlight=False)
    return 0
