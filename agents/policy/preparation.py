"""What training in imagination needs from the recordings: eyes, what they see, and a clone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from pydantic import ValidationError
from rich.progress import track
from torch import Tensor, nn

from agents.policy.cloning import CloningObjective, CloningSamples
from agents.policy.hindsight import find_pushes
from agents.policy.layer_objective import LayerFrames, LookedAt
from agents.policy.policy import Policy
from agents.policy.pose_lanes import PoseLanes, PoseState
from agents.policy.sight_objective import SightFrames
from agents.policy.trunks import LATENTS, LAYERS, fingerprint_of, trunk_for
from multimodal.errors import ConfigError, DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.layers import Layers
from multimodal.store import EpisodeStore
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.runs import RunDirectory
from worldmodel.training.settings import TrainSettings
from worldmodel.training.train import train_objective

__all__ = [
    "all_seen",
    "begun",
    "cloned",
    "latent_sets",
    "layer_sets",
    "new_policy",
    "opened_data",
    "train_settings",
    "with_eyes",
]

_BATCH = 256


def opened_data(path: str, pipeline: WorldModelPipeline) -> FlatEpisodes:
    """The recordings that the policy learns from.

    Raises:
        DatasetError: there are none, or they are of another world's size.
    """
    if not Path(path).is_dir():
        raise DatasetError(
            f"there is no dataset {path}; record one with `worldmodel record out={path}`."
        )
    flat = FlatEpisodes.open(EpisodeStore.open(Path(path).parent, Path(path).name))
    if flat.frames.shape[1:] != pipeline.frame_shape:
        raise DatasetError(
            f"{path} has frames {flat.frames.shape[1:]}, the world model makes "
            f"{pipeline.frame_shape}. Use the dataset that it was trained on."
        )
    if flat.actions.shape[1] != pipeline.action_dim:
        raise DatasetError(
            f"{path} has {flat.actions.shape[1]} numbers in an action, the world model takes "
            f"{pipeline.action_dim}. Use the dataset that it was trained on."
        )
    return flat


def new_policy(pipeline: WorldModelPipeline, cfg: DictConfig) -> Policy:
    """An untrained policy for the world of a model.

    It sees layers where the model has them, else latents.

    Raises:
        ConfigError: the model knows no rewards: it was trained without goals on a world with them;
            or layers were asked for where there are none.
    """
    world = str(pipeline.config.world)
    if not world.startswith("worldmodel/Push"):
        raise ConfigError(
            f"The world model is of {world or 'no MuJoCo world'}, and policies are trained on "
            "the Push table. Pass the checkpoint of a Push model, such as "
            "world.options.checkpoint=push."
        )
    if not pipeline.goal_dim:
        raise ConfigError(
            "The world model has no reward head that knows goals (goal_dim is 0). Train it on a "
            "dataset whose episodes have goals: `worldmodel train data=data/push-v0`."
        )
    sees = _what_it_sees(pipeline, cfg.sees)
    dynamics, reader = pipeline.dynamics.config, pipeline.layer_reader
    policy = Policy(
        world=world,
        trunk=fingerprint_of(trunk_for(sees, pipeline)),
        size_px=pipeline.frame_shape[0],
        action_low=[float(value) for value in pipeline.action_low],
        action_high=[float(value) for value in pipeline.action_high],
        channels=dynamics.channels,
        rows=dynamics.rows,
        columns=dynamics.columns,
        eyes_width=cfg.eyes_width,
        width=cfg.width,
        sees=sees,
        sprite_px=int(reader.config["sprite_px"]) if sees == LAYERS else 24,
    )
    policy.attach(pipeline)
    return policy.to(pipeline.device)


def _what_it_sees(pipeline: WorldModelPipeline, wanted: str) -> str:
    if wanted not in ("auto", LATENTS, LAYERS):
        raise ConfigError(f"sees={wanted!r}; expected auto, {LATENTS} or {LAYERS}.")
    if wanted == "auto":
        return LAYERS if pipeline.layer_reader is not None else LATENTS
    if wanted == LAYERS and pipeline.layer_reader is None:
        raise ConfigError(
            "sees=layers needs a world model with layers, and this one has none. Use sees=latents."
        )
    return wanted


def train_settings(cfg: DictConfig, part: Any) -> TrainSettings:
    """How a part of the preparation is trained: `cfg.eyes` or `cfg.cloning`.

    Raises:
        ConfigError: a value out of range.
    """
    try:
        return TrainSettings(
            steps=part.steps,
            batch_size=part.batch_size,
            learning_rate=part.learning_rate,
            warmup_steps=max(0, min(100, part.steps // 10)),
            validate_every=max(1, part.steps // 3),
            save_every=max(1, part.steps // 5),
            seed=cfg.seed,
            # Positions finer than a millimetre do not survive bfloat16.
            precision="float32",
        )
    except ValidationError as error:
        wrong = error.errors()[0]
        name = f"{part._get_full_key('')}.{wrong['loc'][0]}"
        raise ConfigError(f"{name}={wrong['input']}: {wrong['msg']}.") from error


def with_eyes(
    policy: Policy, objective: nn.Module, sets: tuple[Any, Any], cfg: DictConfig, run: RunDirectory
) -> dict[str, float]:
    """Teach a policy's eyes, in place; gives the figures of the last validation.

    Args:
        policy: whose eyes learn.
        objective: of those eyes.
        sets: what they learn from, and what they are judged on.
        cfg: the verb's configuration.
        run: where the account of it goes.
    """
    result = train_objective(
        objective,
        *sets,
        train_settings(cfg, cfg.eyes),
        run.path / "eyes",
        resume=cfg.resume,
        wandb_mode="disabled",
    )
    policy.to(policy.low.device)
    return dict(result.losses)


def latent_sets(
    flat: FlatEpisodes, latents: NDArray[np.float16], cfg: DictConfig
) -> tuple[SightFrames, SightFrames]:
    """Latents to learn from and to be judged on."""
    samples = cfg.eyes.steps * cfg.eyes.batch_size
    return (
        SightFrames(flat, latents, "train", cfg.seed, samples),
        SightFrames(flat, latents, "validation", cfg.seed + 1, 1000),
    )


def layer_sets(
    looked: LookedAt, held_out: LookedAt, cfg: DictConfig
) -> tuple[LayerFrames, LayerFrames]:
    """Frames in layers to learn from and to be judged on."""
    samples = cfg.eyes.steps * cfg.eyes.batch_size
    return LayerFrames(looked, cfg.seed, samples), LayerFrames(held_out, cfg.seed + 1, 500)


@torch.no_grad()
def all_seen(policy: Policy, latents: NDArray[np.float16]) -> Tensor:
    """What the policy sees on every recorded frame, (F, S)."""
    parts = [
        policy.see(torch.from_numpy(np.array(latents[start : start + _BATCH]))).cpu()
        for start in track(range(0, len(latents), _BATCH), "looking at frames", transient=True)
    ]
    return torch.cat(parts)


@torch.no_grad()
def begun(lanes: PoseLanes, looked: LookedAt) -> PoseState:
    """Rollouts that begin at frames which were read before."""
    states = []
    for rows in torch.arange(len(looked)).split(_BATCH):
        part = Layers(*(value[rows].to(lanes.device) for value in looked.layers))
        states.append(
            lanes.of(part._replace(plate=part.plate.float(), sprites=part.sprites.float()))
        )
    return PoseState.concatenate(states)


def cloned(
    policy: Policy, flat: FlatEpisodes, seen: Tensor, cfg: DictConfig, run: RunDirectory
) -> dict[str, float]:
    """Teach a policy what the recordings did, in place; gives the last validation's figures."""
    samples = cfg.cloning.steps * cfg.cloning.batch_size
    discount = cfg.imagination.discount
    result = train_objective(
        CloningObjective(policy),
        CloningSamples(seen, find_pushes(flat, "train"), cfg.seed, samples, discount),
        CloningSamples(seen, find_pushes(flat, "validation"), cfg.seed + 1, 4000, discount),
        train_settings(cfg, cfg.cloning),
        run.path / "cloning",
        resume=cfg.resume,
        wandb_mode="disabled",
    )
    return dict(result.losses)
