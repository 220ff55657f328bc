"""What each part of a task's run depends on, so that no resume takes it for another's."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from multimodal.errors import ConfigError

__all__ = ["parts_of"]

# What recordings, worlds and policies of all rounds depend on.
_RECORDED = ("env_id", "options", "size_px", "episode_steps")
_WORLD = (
    *("channels", "hidden", "members", "clip_frames", "watched", "jitter"),
    *("world_batch", "world_learning_rate"),
)
_DREAMS = (
    *("policy_width", "lanes", "horizon", "longest", "fresh", "doubt"),
    *("final_rate", "improvement"),
)


def parts_of(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """What each part of a run depends on.

    Later rounds may be added: each round depends on its own budgets and on those before it.

    Raises:
        ConfigError: budgets that do not fit together.
    """
    task = cfg.experiment
    _check_budgets(task)
    recorded = {f"experiment.{name}": task[name] for name in _RECORDED} | {"seed": cfg.seed}
    trunk = {f"experiment.trunk.{name}": value for name, value in task.trunk.items()}
    parts = {"trunk": recorded | trunk | {"experiment.frames[0]": task.frames[0]}}
    worlds = {f"experiment.{name}": task[name] for name in _WORLD}
    dreams = {f"experiment.{name}": task[name] for name in _DREAMS}
    for number in range(len(task.frames)):
        budgets = {f"experiment.{k}[{number}]": task[k][number] for k in ("frames", "world_steps")}
        parts[f"world-{number}"] = worlds | budgets
        rounds = {f"experiment.policy_rounds[{number}]": task.policy_rounds[number]}
        parts[f"policy-{number}"] = dreams | rounds
    return parts


def _check_budgets(task: DictConfig) -> None:
    """Said before anything is recorded, which takes minutes."""
    for key in ("frames", "world_steps", "policy_rounds"):
        if len(task[key]) != len(task.frames) or not len(task.frames):
            raise ConfigError(
                f"experiment.{key} has {len(task[key])} numbers and experiment.frames "
                f"{len(task.frames)}; give one for each round."
            )
        for number, value in enumerate(task[key]):
            # A round after the first may record nothing and learn from what there is.
            least = 0 if key == "frames" and number > 0 else 1
            if not isinstance(value, int) or value < least:
                raise ConfigError(
                    f"experiment.{key}[{number}]={value!r}; expected a whole number from {least} "
                    "on."
                )
