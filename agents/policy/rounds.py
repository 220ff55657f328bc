"""Rounds from offline to online: collect with the policy, learn the world again, then the policy.

What the model gets wrong where the policy goes is exactly what new episodes of the policy show. So
each round records some, trains the motion of bodies on them beside the old recordings, and goes on
with the policy in the new model. `round_judge` says what that was worth.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.data import Dataset

from agents.policy.collecting import Amount, collected, opened_store
from agents.policy.policy import Policy
from agents.policy.recording_policy import PolicyBehaviour
from agents.policy.worlds import recording_like
from envs.layer_stage import body_tracks
from envs.mujoco_world import MujocoWorld
from multimodal.errors import ConfigError
from multimodal.flat import FlatEpisodes
from worldmodel.durable import atomic_directory
from worldmodel.motion import Motion
from worldmodel.objectives.motion import MotionObjective
from worldmodel.pipeline import SETTINGS, WorldModelPipeline
from worldmodel.pose_clips import (
    PoseClips,
    Sprites,
    Tracks,
    contact_margins,
    episode_sprites,
)
from worldmodel.runs import RunDirectory
from worldmodel.training.settings import TrainSettings
from worldmodel.training.train import train_objective

__all__ = ["FIRST_SEED", "again_learned", "anew_learned", "collected_round", "motion_of"]

FIRST_SEED = 300_000_000
"""From here on lie the seeds of what policies record between rounds."""
_DRAWS = 2**20
_VALIDATION_CLIPS = 128
# Clips drawn for each one that is used: the one in which most moves.
_LIVELY = 3


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


def collected_round(
    cfg: DictConfig, run: RunDirectory, policy: Policy, pipeline: WorldModelPipeline, number: int
) -> FlatEpisodes:
    """Episodes of a policy in MuJoCo, for round `number`."""
    recording = recording_like(pipeline, cfg.again.steps, FIRST_SEED + number * cfg.again.episodes)
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
        cfg: the verb's configuration; `again` says how.
        folder: where the training's account and the new pipeline go.
        pipeline: what is trained on.
        datasets: the recordings; the last one's held-out episodes judge.

    Raises:
        ConfigError: the model has no layers.
    """
    motion = copy.deepcopy(motion_of(pipeline)).requires_grad_(True)
    sources = [_read(pipeline, flat) for flat in datasets]
    return _learned(cfg, cfg.again, folder, pipeline, motion, sources)


def anew_learned(
    cfg: DictConfig, folder: Path, pipeline: WorldModelPipeline, flat: FlatEpisodes
) -> WorldModelPipeline:
    """The model with a motion that knows nothing but some recordings.

    How to read a frame stays as it was; how bodies move, and how near to each other and to the
    frame's edges they come, is learned from these recordings alone.

    Args:
        cfg: the verb's configuration; `anew` says how.
        folder: where the training's account and the new pipeline go.
        pipeline: whose motion is forgotten.
        flat: the recordings.

    Raises:
        ConfigError: the model has no layers.
    """
    config = motion_of(pipeline).config
    architecture = {name: value for name, value in config.items() if not name.startswith("_")}
    source = _read(pipeline, flat)
    overlap_px, edge_px = contact_margins(*source)
    torch.manual_seed(cfg.seed)
    motion = Motion(**(architecture | {"overlap_px": overlap_px, "edge_px": edge_px}))
    return _learned(cfg, cfg.anew, folder, pipeline, motion, [source])


def motion_of(pipeline: WorldModelPipeline) -> Motion:
    """The motion of bodies, which is what rounds train.

    Raises:
        ConfigError: the model has no layers.
    """
    if pipeline.motion is None:
        raise ConfigError(
            "rounds above 1, and anew, train the motion of layers, and this world model has none. "
            "Use rounds=1 anew.motion_steps=0, or a model with layers, such as push."
        )
    motion: Motion = pipeline.motion
    return motion


def _learned(
    cfg: DictConfig,
    budget: DictConfig,
    folder: Path,
    pipeline: WorldModelPipeline,
    motion: Motion,
    sources: Sequence[_Recorded],
) -> WorldModelPipeline:
    """The model with a motion trained within a budget, on recordings in equal parts."""
    unroll = [(float(share), int(length)) for share, length in budget.unroll]
    longest = max(length for _, length in unroll)
    low, high = pipeline.action_low, pipeline.action_high

    def clips(source: _Recorded, split: str, seed: int, samples: int, drawn: int) -> PoseClips:
        return PoseClips(*source, split, longest, seed, samples, low, high, drawn)

    train = [clips(source, "train", cfg.seed, _DRAWS, _LIVELY) for source in sources]
    held_out = len(sources[-1].flat.episodes("validation")) > 0
    judge = clips(sources[-1], "validation", 0, _VALIDATION_CLIPS, 1) if held_out else None
    objective = MotionObjective(motion, unroll, budget.motion_steps)
    settings = TrainSettings(
        steps=budget.motion_steps,
        batch_size=budget.batch_size,
        learning_rate=budget.learning_rate,
        warmup_steps=min(50, budget.motion_steps // 10),
        validate_every=max(1, budget.motion_steps // 3),
        save_every=max(1, budget.motion_steps // 3),
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
