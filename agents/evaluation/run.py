"""`worldmodel agent evaluate`: how often an instruction is carried out, and against what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agents.assembly import Parts, opened
from agents.evaluation.decisions import (
    INJECTED,
    Decided,
    decided,
    shares,
    signed_scene,
    with_text,
)
from agents.evaluation.episodes import ARMS, run_task
from agents.evaluation.page import TARGETS, Clip, verdict, write_page
from agents.evaluation.speech import LEVELS_DB, hear, recorded, say_tasks
from agents.evaluation.speed import plan_speeds
from agents.evaluation.tasks import Task, ambiguous, clear_tasks, impossible, swapped
from agents.language.steps import Step
from agents.voice import listener
from envs.push import PushWorld
from envs.registration import register
from multimodal.errors import ConfigError
from multimodal.language import Scene
from multimodal.speech import normal_text
from worldmodel.intervals import Interval, ratio_interval
from worldmodel.runs import RunDirectory
from worldmodel.typed_command import typed_command

__all__ = ["run"]

_OTHERS: Final = ("spoken", "swap", "ask", "refuse", "injection", "speed")
_TIMED: Final = 40
Record = dict[str, Any]


def run(cfg: DictConfig) -> int:
    """Measure; an interrupted evaluation goes on where it was when `out` names its folder.

    Args:
        cfg: see `configs/agent.yaml`.

    Returns:
        0, also where a target is missed: the figures say so.

    Raises:
        ConfigError: an unknown arm, or no tasks.
    """
    wanted = [str(arm) for arm in cfg.arms]
    if unknown := sorted(set(wanted) - {*ARMS, *_OTHERS}):
        raise ConfigError(f"arms={unknown} are unknown: choose from {', '.join((*ARMS, *_OTHERS))}")
    if cfg.tasks < 1 or cfg.seeds < 1:
        raise ConfigError(f"tasks={cfg.tasks} and seeds={cfg.seeds} must be at least 1")
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
        evaluation = _Evaluation(cfg, directory, opened(cfg), world)
        evaluation.carry_out(wanted)
    finally:
        world.close()
    return 0


@dataclass
class _Evaluation:
    """The arms, one after the other, and what they came to."""

    cfg: DictConfig
    directory: RunDirectory
    parts: Parts
    world: gym.Env[Any, Any]
    figures: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    decisions: list[Decided] = field(default_factory=list)
    clips: list[Clip] = field(default_factory=list)

    def carry_out(self, wanted: list[str]) -> None:
        """Run what was asked for, write everything."""
        base = self.world.unwrapped
        assert isinstance(base, PushWorld)
        tasks = clear_tasks(base, int(self.cfg.tasks))
        self.figures["tasks"] = float(len(tasks))
        self.figures["seeds"] = float(self.cfg.seeds)
        for arm in ARMS:
            if arm in wanted:
                self._arm(arm, tasks)
        self._against_each_other()
        if "swap" in wanted:
            self._swap(tasks, swapped(base, tasks))
        if "ask" in wanted:
            self._ask(tasks, ambiguous(base, len(tasks)))
        if "refuse" in wanted:
            self._refuse(impossible(base, len(tasks)))
        if "injection" in wanted:
            self._injection(tasks)
        if "spoken" in wanted:
            self._spoken(tasks)
        if "speed" in wanted:
            self.figures |= plan_speeds(self.cfg, self.parts, self.world, tasks[0].seed)
        self._write()

    # Episodes ---------------------------------------------------------------------------------

    def _arm(self, arm: str, tasks: list[Task]) -> None:
        episodes = self._episodes(arm, tasks)
        success = np.array([float(each["success"]) for each in episodes])
        self._figure(f"success_{arm}", success)
        double = np.array([len(task.steps) > 1 for task in tasks for _ in range(self._seeds(arm))])
        if double.any():
            self._figure(f"success_{arm}_two_steps", success[double])
        ticks = [each["ticks"] for each in episodes if each["success"]]
        if ticks:
            self.figures[f"ticks_{arm}"] = float(np.mean(ticks))
        plans = [each["plan_ms"] for each in episodes if each["plans"]]
        if plans:
            self.figures[f"plan_ms_{arm}"] = float(np.mean(plans))

    def _seeds(self, arm: str) -> int:
        # The script draws nothing.
        return 1 if arm == "scripted" else int(self.cfg.seeds)

    def _episodes(self, arm: str, tasks: Iterable[Task], label: str = "") -> list[Record]:
        """Records of an arm's episodes; those that an earlier run wrote down are not run again."""
        label = label or arm
        known = {
            (each["label"], each["scene"], each["seed"], each["text"]): each
            for each in self.directory.history()
            if "label" in each
        }
        records = []
        todo = [(task, seed) for task in tasks for seed in range(self._seeds(arm))]
        for task, seed in track(todo, label, console=Console(stderr=True), transient=True):
            key = (label, task.seed, seed, task.text)
            if key not in known:
                episode, frames = run_task(
                    self.cfg, self.parts, self.world, task, arm, int(self.cfg.seed) + seed
                )
                record = {"label": label, **episode.record(), "seed": seed}
                self.directory.log(record)
                known[key] = record
                self._show(arm, Clip(episode, frames))
            records.append(known[key])
        return records

    def _show(self, arm: str, clip: Clip) -> None:
        """Keep some clips of the agent itself: failures first, and as many successes."""
        most = int(self.cfg.clips)
        failed = sum(not each.episode.success for each in self.clips)
        well = len(self.clips) - failed
        room = well < (most + 1) // 2 if clip.episode.success else failed < most // 2
        if arm == "typed" and room:
            self.clips.append(clip)

    def _successes(self, arm: str) -> dict[tuple[int, str], list[bool]]:
        """For each scene and text what every seed came to."""
        found: dict[tuple[int, str], list[bool]] = {}
        for each in self.directory.history():
            if each.get("label") == arm:
                found.setdefault((each["scene"], each["text"]), []).append(bool(each["success"]))
        return found

    def _against_each_other(self) -> None:
        """The price of imagination, and what it is worth."""
        for name, one, other in (
            ("imagined_over_true", "success_typed", "success_mujoco"),
            ("imagined_over_unimagined", "success_typed", "success_unimagined"),
        ):
            if self.figures.get(other) and one in self.figures:
                self.figures[name] = self.figures[one] / self.figures[other]

    def _swap(self, tasks: list[Task], others: list[Task]) -> None:
        """Pairs in identical scenes: is it the named object that moves furthest, both times?"""
        scenes = {task.seed for task in others}
        first = self._episodes("typed", [task for task in tasks if task.seed in scenes])
        second = self._episodes("typed", others, "swap")
        colours = {(task.seed, task.text): task.steps[0].colour for task in (*tasks, *others)}
        right = [
            each["pushed"] == colours[each["scene"], each["text"]] for each in (*first, *second)
        ]
        both = np.array(right[: len(first)]) & np.array(right[len(first) :])
        self._figure("swap_accuracy", both.astype(float))

    # Speech -----------------------------------------------------------------------------------

    def _spoken(self, tasks: list[Task]) -> None:
        """Where the spoken task is understood as meant, the episode is the typed one, bit for bit.

        A planner with a seed does the same for the same steps, so only what is heard decides; a
        task that is misheard counts as failed.
        """
        ears = listener(str(self.cfg.hear))
        agent = self.parts.agent(self.cfg, self.world, "learned")
        show = partial(track, description="spoken", console=Console(stderr=True), transient=True)
        spoken = say_tasks(agent, self.world, ears, tasks, _TIMED, show)
        known = self._successes("typed")
        typed = np.array([np.mean(known.get((t.seed, t.text), [np.nan])) for t in tasks])
        for name in LEVELS_DB:
            understood = np.array(spoken.understood[name])
            self._figure(f"command_match_{name}", np.array(spoken.match[name]))
            self._figure(f"spoken_understood_{name}", understood)
            if np.isfinite(typed).all() and typed.any():
                self._figure(f"success_spoken_{name}", typed * understood)
                share = ratio_interval(typed * understood, typed, resamples=self.cfg.resamples)
                if share is not None:
                    self.figures[f"spoken_over_typed_{name}"] = share.value
                    self.intervals[f"spoken_over_typed_{name}"] = share
        if spoken.action_ms:
            for percent in (50, 95):
                value = float(np.percentile(spoken.action_ms, percent))
                self.figures[f"speech_to_action_ms_p{percent}"] = value
        if self.cfg.recordings is not None:
            pairs = list(recorded(str(self.cfg.recordings)))
            right = [float(hear(ears, sound)[0] == normal_text(words)) for sound, words in pairs]
            self._figure("command_match_recordings", np.array(right))

    # Decisions --------------------------------------------------------------------------------

    def _decide(self, tasks: Iterable[Task]) -> list[Decided]:
        agent = self.parts.agent(self.cfg, self.world, "learned")
        found = []
        for task in tasks:
            frame, _ = self.world.reset(seed=task.seed)
            found.append(decided(agent, task, frame))
        return found

    def _ask(self, clear: list[Task], unclear: list[Task]) -> None:
        asked, plain = self._decide(unclear), self._decide(clear)
        self._figure("ask_recall", shares(asked, "ask"))
        self._figure("ask_false", 1 - shares(plain, "act"))
        right = [float(each.steps == each.task.steps) for each in plain]
        self._figure("typed_match", np.array(right))
        self._remember(asked, "ask")
        self._remember(plain, "act")

    def _refuse(self, tasks: list[Task]) -> None:
        refused = self._decide(tasks)
        self._figure("refuse_recall", shares(refused, "refuse"))
        self._remember(refused, "refuse")

    def _remember(self, decisions: list[Decided], right: str) -> None:
        """A few of each set for the page, wrong ones first."""
        ordered = sorted(decisions, key=lambda each: each.answer == right)
        self.decisions += ordered[:8]

    def _injection(self, tasks: list[Task]) -> None:
        """Stickers on the table's frames, and signs of the Reading world: same steps as without?"""
        agent = self.parts.agent(self.cfg, self.world, "learned")
        changed = []
        for number, task in enumerate(tasks):
            frame, _ = self.world.reset(seed=task.seed)
            plain = decided(agent, task, frame)
            written = decided(agent, task, with_text(frame, number))
            changed.append(float((plain.answer, plain.steps) != (written.answer, written.steps)))
        signs = gym.make(
            "worldmodel/Reading-v0", chart=False, max_steps=0, disable_env_checker=True
        )
        try:
            for number, task in enumerate(_signed_tasks(signs, len(tasks))):
                frame, _ = signed_scene(signs, task.seed, INJECTED[number % len(INJECTED)])
                seen = decided(agent, task, frame)
                changed.append(float(seen.answer != "act" or seen.steps != task.steps))
        finally:
            signs.close()
        self._figure("injection_rate", np.array(changed))
        pushed = self._pushed_under_text(tasks[: max(1, len(tasks) // 10)])
        self._figure("injection_rate_episodes", np.array(pushed))

    def _pushed_under_text(self, tasks: list[Task]) -> list[float]:
        """Whole episodes in front of a sticker: 1 where something else is pushed."""
        covered = _Stickered(self.world)
        found = []
        for number, task in enumerate(tasks):
            covered.number = number
            episode, _ = run_task(self.cfg, self.parts, covered, task, "typed", 0)
            wanted = {step.colour for step in task.steps}
            found.append(float(episode.pushed not in wanted))
        return found

    # Writing ----------------------------------------------------------------------------------

    def _figure(self, name: str, values: NDArray[np.float64]) -> None:
        interval = ratio_interval(values, resamples=int(self.cfg.resamples))
        if interval is not None:
            self.figures[name] = interval.value
            self.intervals[name] = interval

    def _write(self) -> None:
        self.directory.write_metrics(self.figures)
        report = {
            name: {"value": value}
            | (self.intervals[name]._asdict() if name in self.intervals else {})
            | ({"target": " ".join(map(str, TARGETS[name]))} if name in TARGETS else {})
            for name, value in self.figures.items()
        }
        self.directory.write_json("report.json", report)
        command = typed_command("agent", self.cfg, always=("mode", "tasks", "seeds"))
        page = write_page(
            self.directory.path, command, self.figures, self.intervals, self.clips, self.decisions
        )
        table = Table("figure", "measured", "target", title=str(page))
        for name, value in self.figures.items():
            target = " ".join(map(str, TARGETS[name])) if name in TARGETS else ""
            style = {"missed": "red", "met": "green"}.get(verdict(name, value), "")
            table.add_row(name, f"{value:.4g}", target, style=style)
        Console(stderr=True).print(table)


class _Stickered(gym.Wrapper[Any, Any, Any, Any]):
    """A world whose frames carry an order in writing."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.number = 0

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """The world's, with text on the frame."""
        frame, info = self.env.reset(**options)
        return with_text(frame, self.number), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """The world's, with text on the frame."""
        frame, *rest = self.env.step(action)
        return (with_text(frame, self.number), *rest)  # type: ignore[return-value]


def _signed_tasks(world: gym.Env[Any, Any], count: int) -> list[Task]:
    """One clear task in each scene of the Reading world."""
    tasks = []
    for seed in range(count):
        _, info = world.reset(seed=seed)
        thing = Scene.from_state(info["state"]).objects[0]
        zone = Scene.from_state(info["state"]).zones[0].colour
        step = Step.model_validate(
            {
                "colour": thing.colour,
                "shape": thing.shape,
                "until": {"kind": "in_zone", "zone": zone},
            }
        )
        tasks.append(Task(seed, step.words(), (step,)))
    return tasks
