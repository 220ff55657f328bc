"""Rounds from offline to online: collect with the policy, learn the world again, then the policy.

What the model gets wrong where the policy goes is exactly what new episodes of the policy show. So
each round records some, trains the motion of bodies on them beside the old recordings, goes on with
the policy in the new model, and says how far model and MuJoCo part along the policy's own ways.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from omegaconf import DictConfig
from rich.console import Console
from torch import Tensor
from torch.utils.data import Dataset

from agents.policy.collecting import Amount, collected, opened_store
from agents.policy.policy import Policy
from agents.policy.recording_policy import PolicyBehaviour
from agents.policy.trials import Trial, unsolved_starts
from agents.policy.whereabouts import gap_m, ways_of
from agents.policy.worlds import lanes_of, recording_like
from envs.layer_stage import body_tracks
from envs.mujoco_world import MujocoWorld
from envs.twin import simulator_of
from multimodal.errors import ConfigError
from multimodal.flat import FlatEpisodes
from multimodal.splits import seeds_of
from worldmodel.durable import atomic_directory
from worldmodel.objectives.motion import MotionObjective
from worldmodel.pipeline import SETTINGS, WorldModelPipeline
from worldmodel.pose_clips import PoseClips, Sprites, Tracks, episode_sprites
from worldmodel.runs import RunDirectory
from worldmodel.training.settings import TrainSettings
from worldmodel.training.train import train_objective

__all__ = [
    "TRIAL_SEED",
    "RoundFigures",
    "again_learned",
    "collected_round",
    "round_figures",
    "round_trials",
]

TRIAL_SEED = 200_000_000
"""Above the seeds of recordings and of evaluations; from here on those of rounds lie."""
_FIRST_SEED = 300_000_000
_DRAWS = 2**20
_VALIDATION_CLIPS = 128
_HORIZON = 32
# Clips drawn for each one that is used: the one in which most moves.
_LIVELY = 3
RoundFigures = dict[str, float]


class _Mixed(Dataset[dict[str, Tensor]]):
    """Items of several datasets in turn."""

    def __init__(self, parts: Sequence[PoseClips]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return min(map(len, self._parts)) * len(self._parts)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        which, item = index % len(self._parts), index // len(self._parts)
        return self._parts[which][item]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """Several items at once."""
        return [self[index] for index in indices]


def round_trials(cfg: DictConfig, pipeline: WorldModelPipeline) -> list[Trial]:
    """The held-out starts from which every round's gap is measured."""
    world = simulator_of(pipeline)
    try:
        return unsolved_starts(world, seeds_of("test", cfg.again.trials, TRIAL_SEED))
    finally:
        world.close()


def collected_round(
    cfg: DictConfig, run: RunDirectory, policy: Policy, pipeline: WorldModelPipeline, number: int
) -> FlatEpisodes:
    """Episodes of a policy in MuJoCo, for round `number`."""
    recording = recording_like(pipeline, cfg.again.steps, _FIRST_SEED + number * cfg.again.episodes)
    told = f"Episodes of {recording.world} by a policy that was trained in a world model."
    store = opened_store(recording, run.path / f"round-{number}" / "data", told)

    def acts(world: MujocoWorld, seed: int) -> PolicyBehaviour:
        return PolicyBehaviour(policy, seed)

    collected(store, recording, Amount(episodes=cfg.again.episodes), acts)
    store.commit()
    return FlatEpisodes.open(store)


def again_learned(
    cfg: DictConfig,
    folder: Path,
    pipeline: WorldModelPipeline,
    datasets: Sequence[FlatEpisodes],
) -> WorldModelPipeline:
    """The model with a motion that was trained on, on several datasets in equal parts.

    Args:
        cfg: the verb's configuration.
        folder: where the training's account and the new pipeline go.
        pipeline: what is trained on.
        datasets: the recordings; the last one's held-out episodes judge.

    Raises:
        ConfigError: the model has no layers.
    """
    if pipeline.motion is None:
        raise ConfigError(
            "rounds above 1 train the motion of layers on, and this world model has none. Use "
            "rounds=1, or a model with layers, such as push."
        )
    unroll = [(float(share), int(length)) for share, length in cfg.again.unroll]
    longest = max(length for _, length in unroll)
    low, high = pipeline.action_low, pipeline.action_high
    sources = [_read(pipeline, flat) for flat in datasets]

    def clips(source: _Recorded, split: str, seed: int, samples: int, drawn: int) -> PoseClips:
        return PoseClips(*source, split, longest, seed, samples, low, high, drawn)

    train = [clips(source, "train", cfg.seed, _DRAWS, _LIVELY) for source in sources]
    held_out = len(datasets[-1].episodes("validation")) > 0
    judge = clips(sources[-1], "validation", 0, _VALIDATION_CLIPS, 1) if held_out else None
    objective = MotionObjective(
        copy.deepcopy(pipeline.motion).requires_grad_(True), unroll, cfg.again.motion_steps
    )
    settings = TrainSettings(
        steps=cfg.again.motion_steps,
        batch_size=cfg.again.batch_size,
        learning_rate=cfg.again.learning_rate,
        warmup_steps=min(50, cfg.again.motion_steps // 10),
        validate_every=max(1, cfg.again.motion_steps // 3),
        save_every=max(1, cfg.again.motion_steps // 3),
        seed=cfg.seed,
        precision="float32",
    )
    train_objective(
        objective, _Mixed(train), judge, settings, folder / "motion", cfg.resume, "disabled"
    )
    parts = {name: getattr(pipeline, name) for name in ("tokenizer", "dynamics", "scheduler")}
    config = {name: pipeline.config[name] for name in SETTINGS}
    learned = WorldModelPipeline(
        **parts, layer_reader=pipeline.layer_reader, motion=objective.average, **config
    ).to(pipeline.device)
    with atomic_directory(folder / "pipeline") as hidden:
        learned.save_pretrained(hidden)
    return learned


class _Recorded(NamedTuple):
    flat: FlatEpisodes
    tracks: Tracks
    seen: Sprites


def _read(pipeline: WorldModelPipeline, flat: FlatEpisodes) -> _Recorded:
    tracks = body_tracks(flat.state, flat.frames.shape[1])
    return _Recorded(flat, tracks, episode_sprites(pipeline.layer_reader, flat, tracks))


def round_figures(
    number: int,
    policy: Policy,
    trials: Sequence[Trial],
    now: WorldModelPipeline,
    before: WorldModelPipeline | None,
    steps: int,
) -> RoundFigures:
    """How far model and MuJoCo part where the policy of a round goes, and how well it does there.

    Args:
        number: of the round.
        policy: after it.
        trials: held-out starts.
        now: the model after it.
        before: the model of the round before, on the same ways; None in the first round.
        steps: most steps of a trial.

    Returns:
        `round_N_gap_m`, `round_N_gap_before_m` and `round_N_success`.
    """
    world = simulator_of(now)
    try:
        ways = ways_of(policy, world, trials, steps)
    finally:
        world.close()
    figures = {
        f"round_{number}_gap_m": gap_m(lanes_of(now, policy), ways, _HORIZON),
        f"round_{number}_success": float(np.mean([way.success for way in ways])),
    }
    if before is not None:
        figures[f"round_{number}_gap_before_m"] = gap_m(lanes_of(before, policy), ways, _HORIZON)
    said = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    Console().print(said, highlight=False)
    return figures
