"""`worldmodel agent browse`: the same agent on a page, clicking in headless Chromium."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from rich.console import Console

from agents.acting.trace import Trace
from agents.browser.chromium import ChromiumPage, opened_page
from agents.browser.page_agent import Do, PageAgent, PageDecision, PageWish, page_wish
from agents.protocol import Observation, Stop
from worldmodel.runs import RunDirectory

__all__ = ["Browsed", "browse", "run"]

_INSTRUCTION = "set the target colour to green and press start"
_MOST_ACTIONS = 40


@dataclass(frozen=True)
class Browsed:
    """How it went on the page.

    Attributes:
        decision: the last one.
        actions: taken.
        success: whether the page is set as the instruction says.
        click_error_px: distance of each click from the middle of what was clicked.
    """

    decision: PageDecision
    actions: int
    success: bool
    click_error_px: tuple[float, ...]


def run(cfg: DictConfig) -> int:
    """Carry out one instruction on the page.

    Args:
        cfg: see `configs/agent.yaml`.

    Returns:
        0 when the page is set as the instruction says, or the agent asked, refused or was stopped;
        1 otherwise.
    """
    instruction = _INSTRUCTION if cfg.instruction is None else str(cfg.instruction)
    directory = RunDirectory.open("agent", cfg.out)
    directory.write_config(cfg)
    program = None if cfg.chromium is None else str(cfg.chromium)
    with opened_page(
        seed=int(cfg.seed if cfg.scene is None else cfg.scene), program=program
    ) as page:
        browsed = browse(page, instruction, directory.path / "episode_000")
    figures = {"success": float(browsed.success), "actions": float(browsed.actions)}
    if browsed.click_error_px:
        figures["click_error_px"] = float(np.mean(browsed.click_error_px))
        figures["click_error_px_max"] = float(np.max(browsed.click_error_px))
    directory.write_metrics(figures)
    said = getattr(browsed.decision, "reason", getattr(browsed.decision, "question", ""))
    Console(stderr=True).print(f"{said}\n{browsed.actions} actions: {directory.path}", markup=False)
    done = isinstance(page_wish(instruction), PageWish)
    return 0 if browsed.success or not done else 1


def browse(page: ChromiumPage, instruction: str, folder: Path | None = None) -> Browsed:
    """Let the agent act on a page until it stops, asks or refuses.

    Args:
        page: an open page.
        instruction: in words.
        folder: of the trace; None keeps none.
    """
    agent = PageAgent()
    if folder is None:
        decision, actions = _loop(page, agent, instruction, None)
    else:
        with Trace(folder) as trace:
            trace.note("start", instruction=instruction)
            decision, actions = _loop(page, agent, instruction, trace)
            words = getattr(decision, "reason", getattr(decision, "question", ""))
            trace.note("end", status=type(decision).__name__.lower(), message=words)
    state = page.state()
    errors = tuple(float(click["error_px"]) for click in state["clicks"])
    return Browsed(decision, actions, _as_wished(instruction, state), errors)


def _loop(
    page: ChromiumPage, agent: PageAgent, instruction: str, trace: Trace | None
) -> tuple[PageDecision, int]:
    for step in range(_MOST_ACTIONS):
        shot = page.shot()
        decision = agent.act(Observation(shot, instruction, step))
        if trace:
            trace.frame(step, shot)
        if not isinstance(decision, Do):
            return decision, step
        page.do(decision.action)
        if trace:
            trace.note("tick", step=step + 1, action=decision.action.model_dump())
    return Stop("I give up: I ran out of actions."), _MOST_ACTIONS


def _as_wished(instruction: str, state: dict[str, Any]) -> bool:
    """Whether the page says that it is set as the instruction says."""
    wish = page_wish(instruction)
    if not isinstance(wish, PageWish):
        return False
    return (
        state["colour"] == wish.colour
        and bool(state["started"]) == wish.start
        and state["name"] == wish.name
    )
