"""What can be done to a page: click, type, scroll, wait."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from multimodal.errors import ActionError

__all__ = ["Click", "PageAction", "Scroll", "Type", "Wait", "checked_page_action"]


class _Action(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Click(_Action):
    """Click at a point of the screenshot, in pixels from its upper left corner."""

    kind: Literal["click"] = "click"
    x: float = Field(ge=0, allow_inf_nan=False)
    y: float = Field(ge=0, allow_inf_nan=False)


class Type(_Action):
    """Type a text into what has the focus, in place of what stands there."""

    kind: Literal["type"] = "type"
    text: str = Field(max_length=200)


class Scroll(_Action):
    """Scroll by so many pixels, down where positive."""

    kind: Literal["scroll"] = "scroll"
    dy: float = Field(ge=-5000, le=5000, allow_inf_nan=False)


class Wait(_Action):
    """Do nothing for a while."""

    kind: Literal["wait"] = "wait"
    seconds: float = Field(default=0.1, ge=0, le=10, allow_inf_nan=False)


PageAction: TypeAlias = Annotated[Click | Type | Scroll | Wait, Field(discriminator="kind")]


def checked_page_action(action: PageAction, width_px: int, height_px: int) -> PageAction:
    """The action, or an error where it would miss the page.

    Raises:
        ActionError: a click outside the screenshot.
    """
    if isinstance(action, Click) and not (action.x < width_px and action.y < height_px):
        raise ActionError(
            f"A click at ({action.x:.0f}, {action.y:.0f}) misses the page of {width_px}x"
            f"{height_px} px; scroll first."
        )
    return action
