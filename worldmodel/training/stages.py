"""What each stage of `worldmodel train` trains, on what, and from which earlier results."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from gymnasium.spaces import Box
from minari.serialization import deserialize_space
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from torch import nn

from multimodal.clips import ClipDataset
from multimodal.flat import FlatEpisodes
from multimodal.store import EpisodeStore
from multimodal.tokenizer import STRIDE, VideoTokenizer
from multimodal.trunk import trunk_fingerprint
from worldmodel.checkpoint import resolve, verify
from worldmodel.device import choose_compute
from worldmodel.dynamics import Dynamics
from worldmodel.latents import LatentClips, cached_latents
from worldmodel.objectives.dynamics import DynamicsObjective
from worldmodel.objectives.tokenizer import TokenizerObjective
from worldmodel.recipe import Recipe
from worldmodel.training.clip_stage import clip_inputs, clip_work, trunk_inputs
from worldmodel.training.codec_stage import codec_data, codec_work
from worldmodel.training.ears_stages import ears_data, recogniser_work, spotter_work
from worldmodel.training.initial import InitialWeights
from worldmodel.training.layer_stages import (
    LAYER_STAGES,
    layer_reader_work,
    motion_inputs,
    motion_work,
)
from worldmodel.training.native_stages import (
    image_codes_work,
    native_inputs,
    native_work,
    units_data,
    units_work,
)
from worldmodel.training.processes import first_process_first
from worldmodel.training.vlm_stages import (
    instruct_inputs,
    instruct_work,
    language_data,
    language_work,
    preference_work,
    projector_work,
    vlm_data,
    vlm_inputs,
)
from worldmodel.training.work import Stage, Work

__all__ = [
    "NATIVE_STAGES",
    "STAGES",
    "VLM_STAGES",
    "WORLD_STAGES",
    "Source",
    "Work",
    "probe_module",
]

# Random clips are drawn with their number as the seed; so many differ before they come again.
_DRAWS = 2**20
_VALIDATION_CLIPS = 64
_TOKENIZER_FRAMES = 1
_EARS_STAGES = ("recogniser", "spotter")
# Stages whose models may start from an earlier pipeline's weights, or from earlier ears'.
_CONTINUED = ("tokenizer", "dynamics", "layer_reader", "motion", "instruct", *_EARS_STAGES)
# Where the probe of a world is trained; named, not imported, as those folders lie above this one.
_PROBES = {"worldmodel/Push-v0": "envs.gap.probe_stage"}

_log = logging.getLogger(__name__)
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Source:
    """The configuration, the dataset and the results of earlier stages, opened when asked for.

    Attributes:
        cfg: of the verb `train`.
        results: the folder with a sub-folder for each stage that is done.
    """

    cfg: DictConfig
    results: Path

    @cached_property
    def store(self) -> EpisodeStore:
        """The recorded dataset.

        Raises:
            DatasetError: it is missing, incomplete or damaged.
        """
        path = Path(self.cfg.data)
        return EpisodeStore.open(path.parent, path.name)

    @cached_property
    def flat(self) -> FlatEpisodes:
        """All frames of the dataset in mapped memory."""
        return FlatEpisodes.open(self.store)

    @cached_property
    def world(self) -> dict[str, Any]:
        """Id, size and options of the recorded world; empty for imported video."""
        recording = self.store.metadata.get("recording", {})
        options = recording.get("options", {})
        return {**recording, "options": json.loads(options) if options else {}}

    @cached_property
    def action_bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lower and upper bound of each action; those seen where the dataset states none."""
        space = deserialize_space(self.store.metadata["action_space"])
        assert isinstance(space, Box)
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
        if np.isfinite(low).all() and np.isfinite(high).all():
            return low, high
        actions = np.asarray(self.flat.actions)
        seen_low, seen_high = actions.min(0), actions.max(0)
        return seen_low, np.maximum(seen_high, seen_low + 1e-3)

    @cached_property
    def holds_out(self) -> bool:
        """Whether the dataset has episodes for validation."""
        held = len(self.flat.episodes("validation")) > 0
        if not held:
            _log.warning("%s has no validation episodes: record more of them", self.cfg.data)
        return held

    @cached_property
    def recipe(self) -> Recipe:
        """How the dynamics is trained."""
        return Recipe(**_plain(self.cfg.recipe))

    def model(self, stage: str) -> Path:
        """The folder of the model that an earlier stage wrote, verified.

        Raises:
            CheckpointError: the stage is not done, or its model is torn or altered.
        """
        folder = self.results / stage / "model"
        verify(folder, stage)
        return folder

    def weights(self, stage: str) -> str:
        """SHA-256 of the weights that an earlier stage ended with.

        Raises:
            CheckpointError: the stage is not done, or its model is torn or altered.
        """
        files: dict[str, str] = verify(self.model(stage), stage)["files"]
        return next(digest for name, digest in files.items() if name.endswith(".safetensors"))

    def initial(self, stage: str) -> InitialWeights | None:
        """The weights that a stage's model starts from; None starts afresh.

        Raises:
            CheckpointError: `initial` names no whole pipeline, or for `instruct` no model that
                answers, or for ears' stages no ears.
        """
        if self.cfg.initial is None or stage not in _CONTINUED:
            return None
        if stage == "instruct":
            return InitialWeights.of_answers(self.cfg.initial)
        if stage in _EARS_STAGES:
            return InitialWeights.of_ears(self.cfg.initial, stage)
        if stage in LAYER_STAGES and not (resolve(self.cfg.initial) / stage).is_dir():
            return None
        return InitialWeights.of(self.cfg.initial, stage)

    def started(self, stage: str, model: M) -> M:
        """The model, with the weights that the stage starts from where it starts from any.

        Raises:
            CheckpointError: as for `initial`.
            ConfigError: those weights are of another architecture.
        """
        if (initial := self.initial(stage)) is not None:
            initial.load_into(model)
        return model

    def tokenizer(self) -> VideoTokenizer:
        """The trained tokeniser."""
        model = VideoTokenizer.from_pretrained(self.model("tokenizer"), use_safetensors=True)
        assert isinstance(model, VideoTokenizer)
        return model.eval().requires_grad_(False)

    def inputs(self, stage: str) -> dict[str, Any]:
        """All that decides what a stage is trained to be, apart from the trainer's settings.

        A stage whose inputs changed is trained anew; one whose settings changed goes on.
        """
        size = _plain(self.cfg.size)
        data = STAGES[stage].data(self)["fingerprint"]
        inputs = {"dataset": data, "seed": self.cfg.seed, "architecture": size.get(stage)}
        if (further := STAGES[stage].inputs) is not None:
            inputs |= further(self)
        if stage == "dynamics":
            # Without defaults, so that a setting that is new does not undo what was trained before.
            inputs["recipe"] = self.recipe.model_dump(mode="json", exclude_defaults=True)
            # A decoder that goes on learning leaves the latents as they are.
            inputs["encoder"] = trunk_fingerprint(self.tokenizer())
        if (start := self.initial(stage)) is not None:
            inputs["initial"] = start.sha256
        plain: dict[str, Any] = json.loads(json.dumps(inputs))
        return plain


def tokenizer_work(source: Source) -> Work:
    """Frames that come back through the latents."""
    architecture = _plain(source.cfg.size.tokenizer)
    encoder_steps = int(source.cfg.size.budget.tokenizer.encoder_steps)

    def clips(split: str, seed: int, samples: int) -> ClipDataset:
        return ClipDataset(source.flat, split, _TOKENIZER_FRAMES, seed, samples)

    def build() -> TokenizerObjective:
        model = source.started("tokenizer", VideoTokenizer(**architecture))
        return TokenizerObjective(model, encoder_steps=encoder_steps)

    return Work(
        build,
        clips("train", source.cfg.seed, _DRAWS),
        clips("validation", 0, _VALIDATION_CLIPS) if source.holds_out else None,
    )


def dynamics_work(source: Source) -> Work:
    """The next latents from the last ones and an action, on a dataset that is encoded once."""
    tokenizer, flat, recipe = source.tokenizer(), source.flat, source.recipe
    low, high = source.action_bounds
    tokenizer.to(choose_compute().device)
    with first_process_first():
        latents = cached_latents(tokenizer, flat, Path(source.cfg.data) / "latents")
    height_px, width_px = flat.frames.shape[1:3]
    architecture = _plain(source.cfg.size.dynamics)
    shape = {
        "action_dim": flat.actions.shape[1],
        "goal_dim": flat.goals.shape[1],
        "rows": height_px // STRIDE,
        "columns": width_px // STRIDE,
        "channels": latents.shape[-1],
    }

    def clips(split: str, seed: int, samples: int, lively: int) -> LatentClips:
        frames = recipe.clip_frames
        return LatentClips(flat, latents, split, frames, seed, samples, low, high, lively)

    def build() -> DynamicsObjective:
        return DynamicsObjective(
            source.started("dynamics", Dynamics(**shape, **architecture)), recipe
        )

    return Work(
        build,
        clips("train", source.cfg.seed, _DRAWS, recipe.lively),
        clips("validation", 0, _VALIDATION_CLIPS, 1) if source.holds_out else None,
    )


def probe_module(source: Source) -> Any | None:
    """The module that trains the recorded world's state probe; None where it has none."""
    name = _PROBES.get(source.world.get("world", ""))
    return import_module(name) if name else None


def probe_work(source: Source) -> Work:
    """Positions of the objects read off real frames, to measure a model's rollouts with."""
    module = probe_module(source)
    assert module is not None
    size_px = source.flat.frames.shape[1]
    budget = source.cfg.size.budget.probe
    width = source.cfg.size.probe.width
    train, validation = module.probe_datasets(
        source.store, size_px=size_px, rendered=budget.rendered, validation=budget.validation
    )
    return Work(lambda: module.probe_objective(width, size_px), train, validation)


def episode_data(source: Source) -> dict[str, Any]:
    """The recorded episodes that a stage learns from."""
    metadata = source.store.metadata
    return {
        "id": metadata["dataset_id"],
        "fingerprint": source.flat.key,
        "episodes": len(source.store),
        "frames": len(source.flat.frames),
        "recording": metadata.get("recording"),
    }


# The stages of objective=world, in order; the others are trained by name.
WORLD_STAGES = ("tokenizer", "dynamics", "layer_reader", "motion", "probe")
# Those of objective=vlm, in order.
VLM_STAGES = ("clip", "language", "projector", "instruct", "preference")
# Those of objective=native, in order.
NATIVE_STAGES = ("image_codes", "speech_units", "native")
STAGES: Mapping[str, Stage] = {
    "tokenizer": Stage(tokenizer_work, episode_data),
    "dynamics": Stage(dynamics_work, episode_data),
    "layer_reader": Stage(layer_reader_work, episode_data),
    "motion": Stage(motion_work, episode_data, motion_inputs),
    "probe": Stage(probe_work, episode_data),
    "codec": Stage(codec_work, codec_data),
    "recogniser": Stage(recogniser_work, ears_data),
    "spotter": Stage(spotter_work, ears_data),
    "clip": Stage(clip_work, episode_data, clip_inputs),
    "language": Stage(language_work, language_data),
    "projector": Stage(projector_work, vlm_data, vlm_inputs("clip", "language")),
    "instruct": Stage(instruct_work, vlm_data, instruct_inputs),
    "image_codes": Stage(image_codes_work, episode_data, trunk_inputs),
    "speech_units": Stage(units_work, units_data),
    "native": Stage(native_work, episode_data, native_inputs),
    "preference": Stage(preference_work, vlm_data, vlm_inputs("instruct")),
}


def _plain(config: Any) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(config, resolve=True)
    return dict(values)
