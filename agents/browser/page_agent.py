"""What to do next on the page, from a screenshot and an instruction; checked on the next one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from agents.browser.actions import Click, PageAction, Scroll, Type, Wait
from agents.browser.page_eyes import Element, PageSighting, see_page
from agents.language.words import STOP, tagged
from agents.protocol import Ask, Observation, Refuse, Stop
from multimodal.language.vocabulary import COLOURS

__all__ = ["Do", "PageAgent", "PageDecision", "PageWish", "page_wish"]

_NAME: Final = re.compile(r"\b(?:name|call)\b[^\"']*?[\"']([^\"']{1,40})[\"']")
_PATIENCE: Final = 4


@dataclass(frozen=True)
class Do:
    """Take this action on the page."""

    action: PageAction


PageDecision: TypeAlias = Do | Ask | Refuse | Stop


@dataclass(frozen=True)
class PageWish:
    """How the page should be set: colour of the target, name of the run, and whether to start."""

    colour: str
    name: str = ""
    start: bool = False


def page_wish(instruction: str) -> PageWish | Ask | Refuse | Stop:
    """Understand an instruction such as "set the target colour to green and press start"."""
    quoted = _NAME.search(instruction)
    rest = _NAME.sub(" ", instruction).lower()
    words = [tagged(word) for word in re.findall(r"[^\W_]+", rest)]
    texts = {word.text for word in words}
    start = bool(texts & {"start", "begin", "run", "go", "started"})
    if texts & STOP and not start:
        return Stop("I was told to stop.")
    colours = list(dict.fromkeys(word.value for word in words if word.kind == "colour"))
    if len(colours) > 1:
        return Ask(f"Which colour shall the target have: {' or '.join(colours)}?", tuple(colours))
    if colours:
        return PageWish(colours[0], quoted.group(1) if quoted else "", start)
    strange = [word.text for word in words if word.kind == "none"]
    if strange:
        return Refuse(f"There is no {strange[0]}; the colours are {', '.join(COLOURS)}.")
    return Ask("Which colour shall the target have?", COLOURS)


class PageAgent:
    """Clicks its way to what was asked for; every step is checked on the next screenshot.

    What is not in sight is scrolled for, down to the end of the page and up again. A step that
    brings nothing four times is given up.
    """

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._wish: PageWish | Ask | Refuse | Stop | None = None
        self._instruction = ""
        self._named = False
        self._searched = 0
        self._tried: dict[str, int] = {}

    def act(self, observation: Observation) -> PageDecision:
        """The next decision.

        Args:
            observation: its frame is a screenshot uint8 (H, W, 3) of any size.

        Raises:
            FrameError: the frame is no picture.
        """
        if observation.step == 0 or observation.instruction != self._instruction:
            self._forget()
            self._instruction = observation.instruction
            self._wish = page_wish(observation.instruction)
        if not isinstance(self._wish, PageWish):
            assert self._wish is not None
            return self._wish
        return self._towards(self._wish, see_page(observation.frame), observation.frame.shape[0])

    def _towards(self, wish: PageWish, seen: PageSighting, height_px: int) -> PageDecision:
        if seen.running:
            if seen.running == wish.colour:
                return Stop(f"Done: started with the {wish.colour} target.")
            return Stop(f"I give up: it was started with the {seen.running} target.")
        if not self._chosen(wish, seen):
            return self._click("swatch", seen.swatches.get(wish.colour), height_px)
        if wish.name and not self._named:
            if seen.focused:
                self._named = True
                return Do(Type(text=wish.name))
            return self._click("field", seen.field, height_px)
        if not wish.start:
            return Stop(f"Done: the target is {wish.colour}.")
        return self._click("button", seen.button, height_px)

    def _chosen(self, wish: PageWish, seen: PageSighting) -> bool:
        """Whether the colour is chosen; once it was seen to be, it may be out of sight."""
        if seen.chosen == wish.colour:
            self._tried["chosen"] = 1
        elif seen.chosen:
            self._tried.pop("chosen", None)
        return "chosen" in self._tried

    def _click(self, name: str, element: Element | None, height_px: int) -> PageDecision:
        if element is not None:
            tries = self._tried[name] = self._tried.get(name, 0) + 1
            if tries > _PATIENCE:
                return Stop(f"I give up: clicking the {name} brings nothing.")
            self._searched = 0
            x, y = element.middle
            return Do(Click(x=x, y=y))
        self._searched += 1
        if self._searched > 4 * _PATIENCE:
            return Stop(f"I give up: there is no {name} on this page.")
        if self._searched == 1:
            return Do(Wait(seconds=0.1))
        down = self._searched <= 2 * _PATIENCE
        return Do(Scroll(dy=(0.6 if down else -0.6) * height_px))
