"""A compact world of a task: its trunk once, then eye, dynamics and heads after every recording."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FlowMapEulerDiscreteScheduler
from numpy.typing import NDArray
from omegaconf import DictConfig
from safetensors.torch import load_file

from agents.policy.tasks.lanes import filtered
from envs.episode_recorder import Recording
from multimodal.clips import ClipDataset
from multimodal.flat import FlatEpisodes
from multimodal.tokenizer import STRIDE, VideoTokenizer
from multimodal.trunk import open_trunk
from worldmodel.checkpoint import MANIFEST
from worldmodel.compact import CompactDynamics, CompactTokenizer
from worldmodel.compact_clips import STATE, CompactClips
from worldmodel.durable import atomic_directory
from worldmodel.latents import cached_latents
from worldmodel.objectives.compact import CompactObjective
from worldmodel.objectives.tokenizer import TokenizerObjective
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.readers import trunk_folder
from worldmodel.training.settings import TrainSettings
from worldmodel.training.train import train_objective

__all__ = ["Learned", "learned_trunk", "learned_world"]


@dataclass(frozen=True)
class Learned:
    """A world as it was learned from recordings.

    Attributes:
        pipeline: the compact world.
        flat: the recordings.
        latents: trunk tokens of their frames (F, N, C).
        tokens: its own tokens of their frames (F, 3, E).
    """

    pipeline: WorldModelPipeline
    flat: FlatEpisodes
    latents: NDArray[np.float16]
    tokens: torch.Tensor


def learned_trunk(flat: FlatEpisodes, cfg: DictConfig, seed: int, folder: Path) -> VideoTokenizer:
    """The shipped trunk, taught the colours and shapes of this world.

    Args:
        flat: first recordings.
        cfg: `experiment.trunk`.
        seed: of the order of frames.
        folder: where training writes, and goes on from.
    """
    trunk = open_trunk(trunk_folder(cfg.initial))
    trunk.requires_grad_(True).train()
    settings = TrainSettings(
        steps=cfg.steps,
        batch_size=cfg.batch_size,
        learning_rate=cfg.learning_rate,
        warmup_steps=max(1, cfg.steps // 10),
        validate_every=cfg.steps,
        save_every=max(1, cfg.steps // 4),
        seed=seed,
    )
    train_objective(
        TokenizerObjective(trunk, encoder_steps=max(1, cfg.steps // 2)),
        ClipDataset(flat, "train", 1, seed, cfg.steps * cfg.batch_size),
        ClipDataset(flat, "validation", 1, 0, 64) if _holds_out(flat) else None,
        settings,
        folder,
        wandb_mode="disabled",
    )
    return trunk.eval().requires_grad_(False)


def learned_world(
    trunk: VideoTokenizer,
    flat: FlatEpisodes,
    recording: Recording,
    bounds: tuple[NDArray[np.float32], NDArray[np.float32]],
    cfg: DictConfig,
    number: int,
    seed: int,
    out: Path,
) -> Learned:
    """Train the world of a round, from the round before where there was one.

    Args:
        trunk: its eyes' front.
        flat: the recordings so far.
        recording: what they are of.
        bounds: lower and upper bounds of the actions.
        cfg: `experiment`.
        number: of the round, from 0.
        seed: of weights and draws.
        out: the run's folder.
    """
    latents = cached_latents(trunk, flat, out / "latents")
    for outdated in (out / "latents").glob("*.npy"):
        # Every round records more, and encodes anew.
        if not isinstance(latents, np.memmap) or outdated != Path(str(latents.filename)):
            outdated.unlink()
    target = out / f"world-{number}"
    if not (target / MANIFEST).is_file():
        objective = _trained(trunk, flat, latents, bounds, cfg, number, seed, out)
        _write(objective, recording, bounds, target)
    pipeline = WorldModelPipeline.from_pretrained(target)
    return Learned(pipeline, flat, latents, filtered(pipeline, flat, latents))


def _trained(
    trunk: VideoTokenizer,
    flat: FlatEpisodes,
    latents: NDArray[np.float16],
    bounds: tuple[NDArray[np.float32], NDArray[np.float32]],
    cfg: DictConfig,
    number: int,
    seed: int,
    out: Path,
) -> CompactObjective:
    """The parts of a round's world, trained on from the round before."""
    objective = _objective(trunk, flat, cfg, seed)
    if number:
        _go_on_from(objective, out / f"world-{number - 1}")

    def clips(split: str, draw: int, samples: int) -> CompactClips:
        return CompactClips(flat, latents, split, cfg.clip_frames, draw, samples, *bounds)

    steps, batch = int(cfg.world_steps[number]), int(cfg.world_batch)
    settings = TrainSettings(
        steps=steps,
        batch_size=batch,
        learning_rate=cfg.world_learning_rate,
        warmup_steps=max(1, steps // 20),
        validate_every=max(1, steps // 3),
        save_every=max(1, steps // 5),
        log_every=50,
        seed=seed + number,
        # Poses are told finer than bfloat16 can.
        precision="float32",
    )
    train_objective(
        objective,
        clips("train", seed + number, steps * batch),
        clips("validation", 0, 256) if _holds_out(flat) else None,
        settings,
        out / f"training-{number}",
        wandb_mode="disabled",
    )
    return objective


def _holds_out(flat: FlatEpisodes) -> bool:
    return len(flat.episodes("validation")) > 0


def _objective(
    trunk: VideoTokenizer, flat: FlatEpisodes, cfg: DictConfig, seed: int
) -> CompactObjective:
    episodes = flat.episodes("train")
    rows = np.concatenate([np.arange(flat.starts[e], flat.starts[e + 1]) for e in episodes])
    rewards = np.asarray(flat.rewards)
    state = flat.state.get(STATE)
    told = np.zeros((len(rows), 0), np.float32) if state is None else state[rows]
    torch.manual_seed(seed)
    size_px = flat.frames.shape[1]
    config = {k: v for k, v in trunk.config.items() if not k.startswith("_")}
    tokenizer = CompactTokenizer(
        config, size_px // STRIDE, size_px // STRIDE, latent_channels=cfg.channels
    )
    tokenizer.trunk.load_state_dict(trunk.state_dict())
    dynamics = CompactDynamics(
        flat.actions.shape[1],
        channels=cfg.channels,
        hidden=cfg.hidden,
        members=cfg.members,
        state_dim=told.shape[1],
        reward_low=float(rewards.min()),
        reward_high=float(rewards.max()),
    )
    dynamics.state_mean.copy_(torch.from_numpy(told.mean(0)))
    dynamics.state_scale.copy_(torch.from_numpy(np.maximum(told.std(0), 1e-3)))
    return CompactObjective(tokenizer, dynamics, watched=cfg.watched, jitter=cfg.jitter)


def _go_on_from(objective: CompactObjective, before: Path) -> None:
    """Take over the weights of the round before; heads of another range of rewards begin anew."""
    parts: dict[str, Any] = {"tokenizer": objective.tokenizer, "dynamics": objective.dynamics}
    for name, module in parts.items():
        old = load_file(str(before / name / "diffusion_pytorch_model.safetensors"))
        now = module.state_dict()
        same = name == "tokenizer" or torch.equal(old["outcome.bins"], now["outcome.bins"])
        kept = {k: v for k, v in old.items() if same or not k.startswith("outcome.")}
        module.load_state_dict({**now, **kept})


def _write(
    objective: CompactObjective,
    recording: Recording,
    bounds: tuple[NDArray[np.float32], NDArray[np.float32]],
    target: Path,
) -> None:
    low, high = bounds
    pipeline = WorldModelPipeline(
        objective.tokenizer,
        objective.dynamics,
        FlowMapEulerDiscreteScheduler(),
        world=recording.world,
        world_options=json.loads(recording.options),
        size_px=recording.size_px,
        action_low=low.tolist(),
        action_high=high.tolist(),
    )
    with atomic_directory(target) as hidden:
        pipeline.save_pretrained(hidden)
