"""The whole measurement: truth, twins, learned rollouts and baselines, a group of episodes a time.

Videos of a group are measured and dropped, so memory does not grow with the number of episodes;
the first group's are kept as examples.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from envs.gap.pixels import physics_iq
from envs.gap.probe import StateProbe
from envs.gap.readings import Readings, has_named_objects, truth_readings
from envs.gap.rollouts import WRONG_ACTIONS, check_pipeline, learned_frames, wrong_actions
from envs.gap.traces import Trace, frozen_trace, trace_of
from envs.gap.truth import Truth, held_out_seeds, record_truth
from envs.mujoco_world import MujocoWorld
from multimodal.errors import ConfigError
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["Measurement", "Plan", "Videos", "measure", "work_of"]

_GROUP = 16
_PROBED_EVERY = 4
_IQ_STEPS = 64
Advance = Callable[[str, int], None]


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        episodes: held-out episodes, at least two.
        horizons: steps at which figures are taken; the longest is the rollout's length.
        baseline_horizon: steps of the shuffled, random and no-action rollouts.
        context: first frames given to the model.
        perturbation: of the twins' start, metres or radians.
        seed: of rollouts and intervals.
    """

    episodes: int = 64
    horizons: tuple[int, ...] = (1, 4, 16, 64, 600)
    baseline_horizon: int = 64
    context: int = 1
    perturbation: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.episodes < 2:
            raise ConfigError(
                f"episodes={self.episodes}: at least two are needed, as the shuffled baseline "
                "exchanges their actions."
            )
        if not self.horizons or min(self.horizons) < 1:
            raise ConfigError(
                f"horizons={list(self.horizons)}: steps of at least 1 were expected, such as "
                "[1, 4, 16, 64]."
            )

    @property
    def steps(self) -> int:
        """Length of the rollouts."""
        return max(self.horizons)

    @property
    def baseline_steps(self) -> int:
        """Length of the wrong-action rollouts."""
        return max(1, min(self.baseline_horizon, self.steps))


@dataclass(frozen=True)
class Videos:
    """Frames kept for the page.

    Attributes:
        seeds: of the E episodes.
        truth: uint8 (E, T+1, H, W, 3), from step 0 on.
        made: uint8 (E, T, H, W, 3), the learned rollouts from step 1 on.
    """

    seeds: tuple[int, ...]
    truth: NDArray[np.uint8]
    made: NDArray[np.uint8]

    def learned(self, index: int) -> NDArray[np.uint8]:
        """One learned rollout, uint8 (T+1, H, W, 3), begun with the frame that was given."""
        whole: NDArray[np.uint8] = np.concatenate([self.truth[index, :1], self.made[index]])
        return whole


@dataclass(frozen=True)
class Measurement:
    """Everything measured, per episode and step.

    Attributes:
        seeds: of the episodes.
        traces: source → trace; see `GapReport.scores` for the sources.
        truth: readings of steps 0..T (E, T+1), None in worlds without named objects.
        probed: the probe's readings of some true frames and the truth there, or None.
        physics_iq: (E,) of the learned rollouts.
        videos: of the first group.
    """

    seeds: tuple[int, ...]
    traces: dict[str, Trace]
    truth: Readings | None
    probed: tuple[Readings, Readings] | None
    physics_iq: NDArray[np.float64]
    videos: Videos


@dataclass
class _Parts:
    traces: dict[str, list[Trace]] = field(default_factory=lambda: defaultdict(list))
    truth: list[Readings] = field(default_factory=list)
    probed: list[tuple[Readings, Readings]] = field(default_factory=list)
    physics_iq: list[NDArray[np.float64]] = field(default_factory=list)
    videos: Videos | None = None


def work_of(plan: Plan) -> dict[str, int]:
    """Frames of each kind of work, as `measure` reports them through `advance`."""
    return {
        "MuJoCo, truth and twins": 2 * plan.steps * plan.episodes,
        "learned rollouts": plan.steps * plan.episodes,
        "wrong-action baselines": len(WRONG_ACTIONS) * plan.baseline_steps * plan.episodes,
        "reading and comparing": plan.episodes,
    }


def measure(
    pipeline: WorldModelPipeline,
    world: MujocoWorld,
    probe: StateProbe | None,
    plan: Plan,
    advance: Advance | None = None,
) -> Measurement:
    """Measure a learned world against MuJoCo.

    Args:
        pipeline: the learned world.
        world: the true one; made so that it does not end before the horizon (`open_endless`).
        probe: reads positions off frames; None measures pixels only.
        plan: what to measure.
        advance: called with a key of `work_of` and how much of it was done.

    Raises:
        FrameError, ActionError: the model was trained for another world.
    """
    report = advance or (lambda kind, count: None)
    seeds = held_out_seeds(plan.episodes)
    groups = np.array_split(np.array(seeds), math.ceil(len(seeds) / _GROUP))
    parts = _Parts()
    for group in groups:
        truth = record_truth(
            world,
            [int(seed) for seed in group],
            plan.steps,
            context=plan.context,
            perturbation=plan.perturbation,
            advance=lambda count: report("MuJoCo, truth and twins", count),
        )
        check_pipeline(pipeline, truth)
        named = probe if has_named_objects(truth.real.state) else None
        _measure_group(pipeline, world, named, plan, truth, parts, report)
        report("reading and comparing", len(group))
    assert parts.videos is not None
    return Measurement(
        seeds=tuple(seeds),
        traces={source: Trace.concatenate(found) for source, found in parts.traces.items()},
        truth=Readings.concatenate(parts.truth) if parts.truth else None,
        probed=_joined(parts.probed),
        physics_iq=np.concatenate(parts.physics_iq),
        videos=parts.videos,
    )


def _measure_group(
    pipeline: WorldModelPipeline,
    world: MujocoWorld,
    probe: StateProbe | None,
    plan: Plan,
    truth: Truth,
    parts: _Parts,
    report: Advance,
) -> None:
    real = truth.real.frames[:, 1:]
    seed = plan.seed + 1000 * len(parts.physics_iq)
    made = learned_frames(
        pipeline,
        truth,
        truth.actions,
        seed=seed,
        advance=lambda count: report("learned rollouts", count),
    )
    twin = truth.twin.frames[:, 1:]
    first = truth.real.frames[:, 0]
    parts.traces["learned"].append(trace_of(made, real, probe, plan.horizons))
    parts.traces["twins"].append(trace_of(twin, real, probe, plan.horizons))
    parts.traces["frozen"].append(frozen_trace(first, real, probe, plan.horizons))
    for kind in WRONG_ACTIONS:
        actions = wrong_actions(kind, truth.actions, world.action_space, seed)
        wrong = learned_frames(
            pipeline,
            truth,
            actions[:, : plan.baseline_steps],
            seed=seed,
            advance=lambda count: report("wrong-action baselines", count),
        )
        parts.traces[kind].append(trace_of(wrong, real, probe, plan.horizons))
    span = slice(0, min(_IQ_STEPS, plan.steps))
    parts.physics_iq.append(physics_iq(made[:, span], real[:, span], twin[:, span], first))
    if probe is not None:
        _read_truth(probe, truth, parts)
    if parts.videos is None:
        parts.videos = Videos(truth.seeds, truth.real.frames, made)


def _read_truth(probe: StateProbe, truth: Truth, parts: _Parts) -> None:
    """Take over MuJoCo's own positions, of the truth and of the twins, and judge the probe."""
    colours = int(probe.config["colours"])
    readings = truth_readings(truth.real.state, colours)
    parts.truth.append(readings)
    some = (slice(None), slice(0, None, _PROBED_EVERY))
    parts.probed.append((probe.read(truth.real.frames[some]), readings[some]))
    twins = parts.traces["twins"][-1]
    exact = truth_readings(truth.twin.state, colours)[:, 1:]
    parts.traces["twins_exact"].append(Trace(twins.psnr_db, twins.ssim, exact))


def _joined(parts: list[tuple[Readings, Readings]]) -> tuple[Readings, Readings] | None:
    if not parts:
        return None
    seen, truth = zip(*parts, strict=True)
    return Readings.concatenate(seen), Readings.concatenate(truth)
