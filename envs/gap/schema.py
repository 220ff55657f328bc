"""The gap report as data: everything the page, the plots and `metrics.json` are made from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["EpisodeScore", "Figure", "GapReport", "ProbeQuality", "Setup", "TargetResult"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Figure(_Strict):
    """A figure over episodes with its bootstrap interval.

    Attributes:
        value: the estimate.
        low: lower end of the 95% interval.
        high: upper end of the 95% interval.
        episodes: how many episodes it rests on.
    """

    value: float
    low: float
    high: float
    episodes: int


class ProbeQuality(_Strict):
    """How well the probe reads held-out MuJoCo frames: the finest gap that it can see.

    Attributes:
        object_error_m: mean distance of objects from MuJoCo's state.
        object_error_p95_m: 95th percentile of it.
        pusher_error_m: mean distance of the pusher.
        pusher_error_p95_m: 95th percentile of it.
        presence_accuracy: share of (frame, colour) judged rightly present or absent.
        shape_accuracy: share of present objects whose shape is named rightly.
        permanence: permanence it reports for MuJoCo's own frames, at best 1.
        frames: how many frames were read.
    """

    object_error_m: float
    object_error_p95_m: float
    pusher_error_m: float
    pusher_error_p95_m: float
    presence_accuracy: float
    shape_accuracy: float
    permanence: float
    frames: int


class TargetResult(_Strict):
    """A figure beside what it should reach.

    Attributes:
        metric: name of the figure in `metrics.json`.
        label: what it is, in words.
        unit: unit, empty for a share.
        bound: the target.
        at_least: True where larger is better.
        strict: True where the bound itself is not enough.
        value: what was measured, None where it could not be.
        reached: whether the target is met, None where nothing was measured.
    """

    metric: str
    label: str
    unit: str
    bound: float
    at_least: bool
    strict: bool
    value: float | None
    reached: bool | None


class EpisodeScore(_Strict):
    """One episode of the learned rollouts.

    Attributes:
        seed: of the episode.
        psnr_db: mean over all steps.
        position_error_m: mean over pusher, seen objects and steps, None without a probe.
        permanence: over all steps, None without a probe.
        divergence_step: first step past the divergence threshold, None if never or no probe.
    """

    seed: int
    psnr_db: float
    position_error_m: float | None
    permanence: float | None
    divergence_step: int | None


class Setup(_Strict):
    """What was measured, so that it can be measured again.

    Attributes:
        checkpoint: name or folder of the model.
        world: Gymnasium id.
        episodes: number of held-out episodes.
        horizon: longest rollout in steps.
        baseline_horizon: steps of the shuffled, random and no-action rollouts.
        horizons: steps after which figures are given.
        context: first frames the model is given.
        twin_perturbation: spread of the twins' start in metres or radians.
        control_dt_s: seconds per step.
        seed: of the rollouts and intervals.
        resamples: of the bootstrap.
        command: the command that measures this again.
        created: time in ISO 8601.
        versions: of the packages that decide the figures.
    """

    checkpoint: str
    world: str
    episodes: int
    horizon: int
    baseline_horizon: int
    horizons: list[int]
    context: int
    twin_perturbation: float
    control_dt_s: float
    seed: int
    resamples: int
    command: str
    created: str
    versions: dict[str, str]


class GapReport(_Strict):
    """The gap between a learned world and MuJoCo.

    Attributes:
        format: of this schema.
        setup: what was measured.
        probe: the ruler's own error, None where the world has no named objects.
        targets: figures beside their targets.
        scores: source → metric → figure; sources are `learned`, the floor `twins`, and the
            baselines `frozen`, `shuffled`, `random` and `still`.
        curves: source → name → value after each step, None where undefined.
        per_episode: one row per episode.
    """

    format: int = 1
    setup: Setup
    probe: ProbeQuality | None
    targets: list[TargetResult]
    scores: dict[str, dict[str, Figure]]
    curves: dict[str, dict[str, list[float | None]]]
    per_episode: list[EpisodeScore]

    def metrics(self) -> dict[str, float]:
        """The flat object of `metrics.json`: learned figures by name, others with a prefix."""
        flat: dict[str, float] = {}
        for source, figures in self.scores.items():
            prefix = "" if source == "learned" else f"{source}_"
            flat |= {f"{prefix}{name}": figure.value for name, figure in figures.items()}
        if self.probe is not None:
            flat |= {
                f"probe_{name}" if name != "frames" else "probe_frames": float(value)
                for name, value in self.probe.model_dump().items()
            }
            flat["probe_error_m"] = self.probe.object_error_m
        flat["targets_missed"] = float(sum(t.reached is False for t in self.targets))
        return flat
