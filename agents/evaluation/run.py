"""`worldmodel agent evaluate`: how often an instruction is carried out, and against what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track

from agents.assembly import Parts, opened
from agents.evaluation.conditions import conditions
from agents.evaluation.episodes import ARMS, run_task
from agents.evaluation.other_arms import Questions, measure_ears, measure_page, measure_speech
from agents.evaluation.page import Clip
from agents.evaluation.sheet import Sheet
from agents.evaluation.speed import plan_speeds
from agents.evaluation.tasks import Task, ambiguous, clear_tasks, impossible, swapped
from agents.voice import listener
from envs.push import PushWorld
from envs.registration import register
from multimodal.errors import ConfigError
from worldmodel.runs import RunDirectory

__all__ = ["run"]

_OTHERS: Final = ("spoken", "ears", "swap", "ask", "refuse", "injection", "browse", "speed")
# An object that nobody named counts as pushed aside from here on.
_ASIDE_M: Final = 0.02
Record = dict[str, Any]


def run(cfg: DictConfig) -> int:
    """Measure; an interrupted evaluation goes on where it was when `out` names its folder.

    Args:
        cfg: see `configs/agent.yaml`.

    Returns:
        0, also where a target is missed: the figures say so.

    Raises:
        ConfigError: an unknown arm, no tasks, or another reasoner than the grammar.
    """
    wanted = [str(arm) for arm in cfg.arms]
    if unknown := sorted(set(wanted) - {*ARMS, *_OTHERS}):
        raise ConfigError(f"arms={unknown} are unknown: choose from {', '.join((*ARMS, *_OTHERS))}")
    if cfg.tasks < 1 or cfg.seeds < 1:
        raise ConfigError(f"tasks={cfg.tasks} and seeds={cfg.seeds} must be at least 1")
    if cfg.reason != "grammar":
        raise ConfigError(
            f"reason={cfg.reason}: the evaluation measures the grammar; leave reason out, or "
            "try the other on single instructions with `worldmodel agent`."
        )
    directory = RunDirectory.open("agent", cfg.out)
    directory.write_config(cfg)
    register()
    world = gym.make(
        "worldmodel/Push-v0",
        objects=[1, 4],
        max_steps=0,
        terminate_on_success=False,
        disable_env_checker=True,
    )
    try:
        evaluation = _Evaluation(Sheet(cfg, directory), opened(cfg), world, conditions(cfg))
        evaluation.carry_out(wanted)
    finally:
        world.close()
    return 0


@dataclass
class _Evaluation:
    """The arms, one after the other, and what they came to."""

    sheet: Sheet
    parts: Parts
    world: gym.Env[Any, Any]
    conditions: str

    def carry_out(self, wanted: list[str]) -> None:
        """Run what was asked for, write everything."""
        base = self.world.unwrapped
        assert isinstance(base, PushWorld)
        # What lacks ears should say so now rather than after an hour.
        ears = listener(str(self.sheet.cfg.hear)) if "spoken" in wanted else None
        tasks = clear_tasks(base, int(self.sheet.cfg.tasks))
        self.sheet.figures["tasks"] = float(len(tasks))
        self.sheet.figures["seeds"] = float(self.sheet.cfg.seeds)
        for arm in ARMS:
            if arm in wanted:
                self._arm(arm, tasks)
        self._against_each_other()
        if "swap" in wanted:
            self._swap(tasks, swapped(base, tasks))
        questions = Questions(self.sheet, self.parts, self.world)
        if "ask" in wanted:
            questions.ask(tasks, ambiguous(base, len(tasks)))
        if "refuse" in wanted:
            questions.refuse(impossible(base, len(tasks)))
        if "injection" in wanted:
            questions.injection(tasks)
        if ears is not None:
            agent = self.parts.agent(self.sheet.cfg, self.world, "learned")
            typed = self._successes("typed")
            measure_speech(self.sheet, agent, self.world, ears, tasks, typed)
        if "ears" in wanted:
            measure_ears(self.sheet)
        if "browse" in wanted:
            measure_page(self.sheet, max(1, len(tasks) // 10))
        if "speed" in wanted:
            cfg, seed = self.sheet.cfg, tasks[0].seed
            self.sheet.figures |= plan_speeds(cfg, self.parts, self.world, seed)
        self.sheet.write()

    # Episodes ---------------------------------------------------------------------------------

    def _arm(self, arm: str, tasks: list[Task]) -> None:
        episodes = self._episodes(arm, tasks)
        success = self._table(arm, [float(each["success"]) for each in episodes])
        self.sheet.mean_over_seeds(f"success_{arm}", success)
        double = np.array([len(task.steps) > 1 for task in tasks])
        self.sheet.mean_over_seeds(f"success_{arm}_two_steps", success[double])
        aside = [float(each["others_m"] > _ASIDE_M) for each in episodes]
        self.sheet.mean_over_seeds(f"disturbed_{arm}", self._table(arm, aside))
        ticks = [each["ticks"] for each in episodes if each["success"]]
        if ticks:
            self.sheet.figures[f"ticks_{arm}"] = float(np.mean(ticks))
        plans = [each["plan_ms"] for each in episodes if each["plans"]]
        if plans:
            self.sheet.figures[f"plan_ms_{arm}"] = float(np.mean(plans))

    def _table(self, arm: str, values: list[float]) -> NDArray[np.float64]:
        """Values of an arm's episodes as (tasks, seeds)."""
        return np.array(values).reshape(-1, self._seeds(arm))

    def _seeds(self, arm: str) -> int:
        # The script draws nothing.
        return 1 if arm == "scripted" else int(self.sheet.cfg.seeds)

    def _episodes(self, arm: str, tasks: Iterable[Task], label: str = "") -> list[Record]:
        """Records of an arm's episodes; those that an earlier run wrote down are not run again.

        Earlier ones count only where planner, model and all else that decides were the same.
        """
        label = label or arm
        known = {
            (each["label"], each["scene"], each["seed"], each["text"]): each
            for each in self._comparable()
        }
        records = []
        todo = [(task, seed) for task in tasks for seed in range(self._seeds(arm))]
        for task, seed in track(todo, label, console=Console(stderr=True), transient=True):
            key = (label, task.seed, seed, task.text)
            if key not in known:
                episode, frames = run_task(
                    self.sheet.cfg,
                    self.parts,
                    self.world,
                    task,
                    arm,
                    int(self.sheet.cfg.seed) + seed,
                )
                record = {"label": label, **episode.record(), "seed": seed}
                record["conditions"] = self.conditions
                self.sheet.directory.log(record)
                known[key] = record
                if arm == "typed":
                    self.sheet.show(Clip(episode, frames))
            records.append(known[key])
        return records

    def _comparable(self) -> list[Record]:
        """Episodes in the run's history that were measured under the present conditions."""
        history = self.sheet.directory.history()
        return [each for each in history if each.get("conditions") == self.conditions]

    def _successes(self, arm: str) -> dict[tuple[int, str], list[bool]]:
        """For each scene and text what every seed came to."""
        found: dict[tuple[int, str], list[bool]] = {}
        for each in self._comparable():
            if each["label"] == arm:
                found.setdefault((each["scene"], each["text"]), []).append(bool(each["success"]))
        return found

    def _against_each_other(self) -> None:
        """The price of imagination, and what it is worth."""
        for name, one, other in (
            ("imagined_over_true", "success_typed", "success_mujoco"),
            ("imagined_over_unimagined", "success_typed", "success_unimagined"),
        ):
            if self.sheet.figures.get(other) and one in self.sheet.figures:
                self.sheet.figures[name] = self.sheet.figures[one] / self.sheet.figures[other]
                pairs = zip(self.sheet.by_seed[one], self.sheet.by_seed[other], strict=True)
                self.sheet.by_seed[name] = [a / b for a, b in pairs if b]

    def _swap(self, tasks: list[Task], others: list[Task]) -> None:
        """Pairs in identical scenes: is it the named object that moves furthest, both times?"""
        scenes = {task.seed for task in others}
        first = self._episodes("typed", [task for task in tasks if task.seed in scenes])
        second = self._episodes("typed", others, "swap")
        colours = {(task.seed, task.text): task.steps[0].colour for task in (*tasks, *others)}
        right = [
            float(each["pushed"] == colours[each["scene"], each["text"]])
            for each in (*first, *second)
        ]
        one, other = (
            self._table("typed", part) for part in (right[: len(first)], right[len(first) :])
        )
        self.sheet.mean_over_seeds("swap_accuracy", one * other)
