"""`worldmodel agent`: one instruction, typed or spoken, carried out in front of your eyes."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from threading import Event
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from agents.acting.episode import Outcome, carry_out
from agents.acting.judge import Judge
from agents.acting.planning_agent import PlanningAgent
from agents.acting.trace import Trace
from agents.assembly import Parts, make_world, opened
from agents.backends.understanding import understanding
from agents.language.parse import parse
from agents.language.steps import Step
from agents.protocol import Refuse
from agents.voice import listener, spoken_instruction, spoken_instructions, spoken_reply
from multimodal.errors import ConfigError
from worldmodel.runs import RunDirectory

__all__ = ["Session", "run"]

_MOST_SCENES = 300
Start = tuple[NDArray[np.uint8], dict[str, Any]]


def run(cfg: DictConfig) -> int:
    """Carry out one instruction, or with `mic=true` one after the other.

    Args:
        cfg: see `configs/agent.yaml`.

    Returns:
        0 when it was carried out, asked about, refused or stopped; 1 when it failed.
    """
    sources = [name for name in ("instruction", "audio") if cfg[name] is not None]
    sources += ["mic"] if cfg.mic else []
    if len(sources) > 1:
        raise ConfigError(f"{' and '.join(sources)} are given: name one source of instructions")
    if not sources and cfg.scene is None:
        raise ConfigError(
            'What shall I do? Give instruction="push the red cube to the green target", '
            "audio=FILE or mic=true; scene=N alone carries out that scene's own instruction."
        )
    directory = RunDirectory.open("agent", cfg.out)
    directory.write_config(cfg)
    session = Session(cfg, directory)
    try:
        if cfg.mic:
            return session.listen()
        heard: dict[str, float] = {}
        instruction = None if cfg.instruction is None else str(cfg.instruction)
        if not sources:
            session.console.print(f"scene {cfg.scene}: I take its own instruction", markup=False)
        if cfg.audio is not None:
            instruction, heard = spoken_instruction(str(cfg.audio), listener(str(cfg.hear)))
            session.console.print(f"heard: {instruction!r}", markup=False)
        outcome = session.do(instruction, heard)
    finally:
        session.world.close()
    return 1 if outcome.status in ("gave_up", "out_of_time") or outcome.success is False else 0


class Session:
    """A world and an agent, for as many instructions as come."""

    def __init__(self, cfg: DictConfig, directory: RunDirectory) -> None:
        self.cfg, self.directory = cfg, directory
        self.console = Console(stderr=True)
        self.parts: Parts = opened(cfg)
        self.world: gym.Env[Any, Any] = make_world(cfg, self.parts.pipeline)
        self.agent: PlanningAgent = self.parts.agent(
            cfg, self.world, str(cfg.imagine), int(cfg.seed), understanding(cfg)
        )
        self._count = 0
        # All that the world has been told since it was reset.
        self._told: list[tuple[float, ...]] = []

    def do(
        self, instruction: str | None, heard: dict[str, float], stop: Event | None = None
    ) -> Outcome:
        """Carry out one instruction from a fresh start."""
        seed, start = self._start(instruction)
        words = str(start[1]["instruction"]) if instruction is None else instruction
        return self._carry_out(words, seed, start, heard, stop)

    def listen(self) -> int:
        """Carry out what is said, until Ctrl-C."""
        self.carry_out_all(spoken_instructions(listener(str(self.cfg.hear))))
        return 0

    def carry_out_all(self, said: Iterable[tuple[str, dict[str, float], Event]]) -> None:
        """One instruction after the other; the world goes on from where it is."""
        seed, start = self._start(None)
        for instruction, heard, stop in said:
            self.console.print(f"heard: {instruction!r}", markup=False)
            outcome = self._carry_out(instruction, seed, start, heard, stop)
            start = (outcome.at_rest, {})

    def _start(self, instruction: str | None) -> tuple[int, Start]:
        """The scene that was asked for, or the first that shows what the instruction names."""
        cfg, self._told = self.cfg, []
        if cfg.scene is not None or instruction is None:
            seed = int(cfg.seed if cfg.scene is None else cfg.scene)
            return seed, self.world.reset(seed=seed)
        first = int(cfg.seed)
        scenes = _MOST_SCENES if parse(instruction).can_be_seen else 0
        for seed in range(first, first + scenes):
            start = self.world.reset(seed=seed)
            if not isinstance(self.agent.understand(instruction, start[0]), Refuse):
                return seed, start
        return first, self.world.reset(seed=first)

    def _carry_out(
        self,
        instruction: str,
        seed: int,
        start: Start,
        heard: dict[str, float],
        stop: Event | None,
    ) -> Outcome:
        cfg, number = self.cfg, self._count
        self._count += 1
        with Trace(self.directory.path / f"episode_{number:03d}") as trace:
            trace.note(
                "start",
                instruction=instruction,
                seed=seed,
                world=OmegaConf.to_container(cfg.world, resolve=True),
                checkpoint=str(cfg.checkpoint),
                imagine=str(cfg.imagine),
                heard=heard,
                before=self._told,
            )
            judge = _Watching(self.world, self.agent)
            outcome = carry_out(
                self.world,
                self.agent,
                instruction,
                start,
                max_ticks=int(cfg.max_ticks),
                stop=stop,
                trace=trace,
                judge=judge,
                tick_s=float(cfg.tick_s),
            )
            if cfg.say:
                spoken_reply(outcome.message, trace.folder / "reply.wav")
        self._told = [*self._told, *outcome.told]
        self._report(instruction, outcome, heard)
        return outcome

    def _report(self, instruction: str, outcome: Outcome, heard: dict[str, float]) -> None:
        figures: dict[str, float] = {"ticks": float(outcome.ticks), **heard}
        if outcome.success is not None:
            figures["success"] = float(outcome.success)
        for name, values in outcome.timing_ms.items():
            figures[f"{name}_ms_p50"] = statistics.median(values)
        self.directory.write_metrics(figures)
        self.directory.log(
            {"instruction": instruction, "status": outcome.status, "message": outcome.message}
            | figures
        )
        truth = {True: "the simulator agrees", False: "the simulator says no", None: "no judge"}
        line = f"{outcome.status} after {outcome.ticks} ticks ({truth[outcome.success]})"
        if outcome.status in ("asked", "refused", "stopped"):
            line = f"{outcome.status} after {outcome.ticks} ticks"
        self.console.print(f"{outcome.message}\n{line}: {self.directory.path}", markup=False)


class _Watching:
    """Judges the steps that the agent understood, once it has understood them."""

    def __init__(self, world: gym.Env[Any, Any], agent: PlanningAgent) -> None:
        self._world, self._agent = world, agent
        # Those of the instruction before this one, until the agent has understood the new one.
        self._before = agent.steps
        self._judge: tuple[tuple[Step, ...], Judge] | None = None

    def __call__(self) -> bool | None:
        """Whether all of them have come true."""
        steps = self._agent.steps
        if not steps or steps is self._before:
            return None
        if self._judge is None or self._judge[0] != steps:
            self._judge = steps, Judge(self._world, steps)
        return self._judge[1]()
