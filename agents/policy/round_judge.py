"""What rounds are worth: how far model and MuJoCo part where the policy goes, and its success.

A better policy goes elsewhere, so the gaps of two rounds along their own policies' ways are of
different tasks. That the model has learned is told on the same ways: those of the last policy, from
starts that nobody recorded, in the model of every round. The mean over ways is that of a few on
which a push slips and all comes differently, so the median over ways is told beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from omegaconf import DictConfig
from rich.console import Console

from agents.policy.policy import Policy
from agents.policy.trials import Trial, unsolved_starts
from agents.policy.whereabouts import Gaps, Way, gaps_of, ways_of
from agents.policy.worlds import lanes_of
from envs.twin import simulator_of
from multimodal.splits import seeds_of
from worldmodel.intervals import Interval, median_interval, ratio_interval
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["TRIAL_SEED", "RoundJudge", "round_trials"]

TRIAL_SEED = 200_000_000
"""Above the seeds of recordings and of evaluations; from here on those of rounds lie."""


def round_trials(cfg: DictConfig, pipeline: WorldModelPipeline) -> list[Trial]:
    """The held-out starts from which every round's gap is measured."""
    world = simulator_of(pipeline)
    try:
        return unsolved_starts(world, seeds_of("test", cfg.again.trials, TRIAL_SEED))
    finally:
        world.close()


class RoundJudge:
    """Judges round after round from the same held-out starts.

    Args:
        trials: the starts.
        steps: most steps of a trial.
    """

    def __init__(self, trials: Sequence[Trial], steps: int) -> None:
        self._trials, self._steps = trials, steps
        self._models: list[WorldModelPipeline] = []
        self._last: tuple[Policy, list[Way]] | None = None
        self._figures: dict[str, float] = {}

    def judge(self, policy: Policy, model: WorldModelPipeline) -> None:
        """Measure the next round.

        Args:
            policy: after it.
            model: in which it was improved.
        """
        world = simulator_of(model)
        try:
            ways = ways_of(policy, world, self._trials, self._steps)
        finally:
            world.close()
        self._models.append(model)
        self._last = policy, ways
        number = len(self._models)
        found = _told(f"round_{number}_gap_m", _mean(gaps_of(lanes_of(model, policy), ways)))
        success = ratio_interval(np.array([way.success for way in ways]))
        found |= _told(f"round_{number}_success", success)
        if number > 1:
            before = gaps_of(lanes_of(self._models[-2], policy), ways)
            found |= _told(f"round_{number}_gap_before_m", _mean(before))
        _say(found)
        self._figures |= found

    def figures(self) -> dict[str, float]:
        """What was measured, each figure with the ends `_low` and `_high` of its 95% interval.

        Returns:
            For each round N `round_N_gap_m` (its model along its own policy's ways),
            `round_N_gap_before_m` (the model before it along the same ways), `round_N_success` in
            MuJoCo, `round_N_gap_last_m` (its model along the last policy's ways) and
            `round_N_gap_last_median_m` (the median over these ways); and `gap_last_over_first`, the
            last round's gap along these ways over the first's.
        """
        if self._last is None:
            return {}
        policy, ways = self._last
        gaps = [gaps_of(lanes_of(model, policy), ways) for model in self._models]
        found: dict[str, float] = {}
        for number, gap in enumerate(gaps, 1):
            found |= _told(f"round_{number}_gap_last_m", _mean(gap))
            median = median_interval(gap.total_m / gap.steps)
            found |= _told(f"round_{number}_gap_last_median_m", median)
        if len(gaps) > 1:
            shrunk = ratio_interval(gaps[-1].total_m, gaps[0].total_m)
            found |= _told("gap_last_over_first", shrunk)
        _say(found)
        return self._figures | found


def _mean(gaps: Gaps) -> Interval | None:
    return ratio_interval(gaps.total_m, gaps.steps)


def _told(name: str, interval: Interval | None) -> dict[str, float]:
    if interval is None:
        return {}
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _say(figures: Mapping[str, float]) -> None:
    told = [
        f"{name} {value:.4g} ({figures[f'{name}_low']:.4g} to {figures[f'{name}_high']:.4g})"
        for name, value in figures.items()
        if f"{name}_low" in figures
    ]
    Console().print(", ".join(told), highlight=False)
