"""The stages that train what carries objects whole: the reader of layers, and their motion."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from multimodal.errors import DatasetError
from multimodal.layers import LayerReader
from worldmodel.motion import Motion
from worldmodel.objectives.layer_reader import LayerReaderObjective
from worldmodel.objectives.motion import MotionObjective
from worldmodel.pose_clips import PoseClips, contact_margins, episode_sprites
from worldmodel.training.work import Work

if TYPE_CHECKING:
    from worldmodel.training.stages import Source

__all__ = ["LAYER_STAGES", "layer_module", "layer_reader_work", "motion_inputs", "motion_work"]

LAYER_STAGES = ("layer_reader", "motion")
# Random clips are drawn with their number as the seed; so many differ before they come again.
_DRAWS = 2**20
_VALIDATION_CLIPS = 256
# Where the layers of a world come from; named, not imported, as those folders lie above this one.
_MODULES = {"worldmodel/Push-v0": "envs.layer_stage"}


def layer_module(source: Source) -> Any | None:
    """The module that knows the recorded world's layers; None where there is none."""
    name = _MODULES.get(source.world.get("world", ""))
    return import_module(name) if name else None


def _module(source: Source) -> Any:
    module = layer_module(source)
    if module is None:
        raise DatasetError(
            f"There are no layers for the world {source.world.get('world', '')!r}; they are known "
            f"for {', '.join(sorted(_MODULES))}. Leave objective=layer_reader and motion out."
        )
    return module


def layer_reader_work(source: Source) -> Work:
    """Opacity, centres and what lies behind, on rendered frames.

    Raises:
        DatasetError: the recorded world has no layers.
    """
    budget, size_px = source.cfg.size.budget.layer_reader, source.flat.frames.shape[1]
    architecture = _plain(source.cfg.size.layer_reader)
    train, validation = _module(source).layer_datasets(size_px, budget.rendered, budget.validation)

    def build() -> LayerReaderObjective:
        return LayerReaderObjective(source.started("layer_reader", LayerReader(**architecture)))

    return Work(build, train, validation)


def motion_inputs(source: Source) -> dict[str, Any]:
    """The reader whose sprites the motion is trained for, and how it is rolled out."""
    unroll: Any = OmegaConf.to_container(source.cfg.size.budget.motion.unroll)
    return {"layer_reader": source.weights("layer_reader"), "unroll": unroll}


def motion_work(source: Source) -> Work:
    """The next pose of every body from the last one and an action.

    Raises:
        DatasetError: the recorded world has no layers.
    """
    reader = LayerReader.from_pretrained(source.model("layer_reader"), use_safetensors=True)
    assert isinstance(reader, LayerReader)
    flat, (low, high) = source.flat, source.action_bounds
    size_px = flat.frames.shape[1]
    tracks = _module(source).body_tracks(flat.state, size_px)
    seen = episode_sprites(reader.eval(), flat, tracks)
    overlap_px, edge_px = contact_margins(flat, tracks, seen)
    budget = source.cfg.size.budget.motion
    unroll = [(float(start), int(length)) for start, length in budget.unroll]
    shape = {
        "action_dim": flat.actions.shape[1],
        "size_px": size_px,
        "sprite_px": int(reader.config["sprite_px"]),
        "overlap_px": overlap_px,
        "edge_px": edge_px,
    }
    architecture = _plain(source.cfg.size.motion)

    steps, lively = max(length for _, length in unroll), int(budget.lively)

    def clips(split: str, seed: int, samples: int, drawn: int) -> PoseClips:
        return PoseClips(flat, tracks, seen, split, steps, seed, samples, low, high, drawn)

    def build() -> MotionObjective:
        model = source.started("motion", Motion(**shape, **architecture))
        return MotionObjective(model, unroll, int(budget.steps))

    return Work(
        build,
        clips("train", source.cfg.seed, _DRAWS, lively),
        clips("validation", 0, _VALIDATION_CLIPS, 1) if source.holds_out else None,
    )


def _plain(config: Any) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(config, resolve=True)
    return dict(values)
