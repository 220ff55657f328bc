"""What the shipped Push model should reach, as the project states it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from envs.gap.schema import Figure, TargetResult

__all__ = ["TARGETS", "Target", "judged"]


class Target(NamedTuple):
    """A bound on a figure.

    Attributes:
        metric: name of the figure.
        label: what it is.
        unit: unit, empty for a share.
        bound: the target.
        at_least: larger is better.
        strict: the bound itself is not enough.
    """

    metric: str
    label: str
    unit: str
    bound: float
    at_least: bool = False
    strict: bool = False


TARGETS: Final[tuple[Target, ...]] = (
    Target("pusher_error_m_16", "Pusher position error after 16 steps", "m", 0.01),
    Target("pusher_error_m_64", "Pusher position error after 64 steps", "m", 0.02),
    Target("object_error_m_16", "Position error of moved objects after 16 steps", "m", 0.02),
    Target("object_error_over_frozen_16", "… as a share of the frozen frame's", "", 0.5),
    Target("permanence_64", "Right objects present over 64 steps", "", 0.99, at_least=True),
    Target("permanence_600", "Right objects present over 600 steps", "", 0.95, at_least=True),
    Target("psnr_1", "PSNR after 1 step", "dB", 30, at_least=True),
    Target("psnr_16", "PSNR after 16 steps", "dB", 26, at_least=True),
    Target(
        "psnr_over_frozen_min",
        "Smallest PSNR lead over the frozen frame at any horizon",
        "dB",
        0,
        at_least=True,
        strict=True,
    ),
)


def judged(figures: Mapping[str, Figure]) -> list[TargetResult]:
    """Compare figures with their targets; what was not measured is neither reached nor missed."""
    return [_judged(target, figures.get(target.metric)) for target in TARGETS]


def _judged(target: Target, figure: Figure | None) -> TargetResult:
    reached: bool | None = None
    if figure is not None:
        lead = figure.value - target.bound if target.at_least else target.bound - figure.value
        reached = lead > 0 if target.strict else lead >= 0
    return TargetResult(
        metric=target.metric,
        label=target.label,
        unit=target.unit,
        bound=target.bound,
        at_least=target.at_least,
        strict=target.strict,
        value=None if figure is None else figure.value,
        reached=reached,
    )
