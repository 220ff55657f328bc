"""`worldmodel train objective=joint`: everything in one run, and whether a trunk is worth sharing.

Three arms learn the same from the same clips at equal compute: one trunk that all losses teach, one
that pixels alone teach, and one for pixels beside a second for the readers. An arm whose step costs
more takes fewer steps.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from multimodal.audio.codec import HOP, AudioCodec
from multimodal.audio.crops import SpeechCrops
from multimodal.audio.speech import SpeechCorpus
from multimodal.clip import ClipModel
from multimodal.joint_clips import JointClips, collate_joint
from multimodal.tokenizer import STRIDE, VideoTokenizer
from multimodal.vlm.language import small_language
from multimodal.vlm.model import VlmModel
from multimodal.vlm.turns import Marks
from worldmodel.comparisons.arms import train_arm
from worldmodel.comparisons.table import write_table
from worldmodel.dynamics import Dynamics
from worldmodel.objectives.codec import CodecObjective
from worldmodel.objectives.dynamics import DynamicsObjective
from worldmodel.objectives.joint import JointObjective, Parts, Sharing
from worldmodel.objectives.tokenizer import TokenizerObjective
from worldmodel.objectives.vlm import AnswerObjective
from worldmodel.recipe import Recipe
from worldmodel.runs import RunDirectory
from worldmodel.training.chain import stage_settings
from worldmodel.training.clip_stage import text_tokenizer
from worldmodel.training.codec_stage import codec_corpus

if TYPE_CHECKING:
    from worldmodel.training.stages import Source

__all__ = ["build", "compare", "flops_of_step"]

_DRAWS = 2**20
_VALIDATION = 32
_AUDIO_HOPS = 24
_STARTING_CROPS = 64
_CLIP_TEXT = 48


def compare(source: Source, directory: RunDirectory) -> dict[str, float]:
    """Train and measure the three arms.

    Args:
        source: of the verb `train`; `data` holds episodes with motion.
        directory: gets a folder for each arm, `table.json` and `table.md`.

    Returns:
        For each arm PSNR of the tokeniser and of rollouts, and the share of right answers;
        `joint_psnr_loss_db` and `joint_vlm_loss`: what the shared trunk loses against the one that
        pixels alone teach.
    """
    settings = stage_settings(source, "joint")
    corpus = codec_corpus(source)
    clips = int(source.cfg.size.joint.frames)
    train = _clips(source, corpus, "train", source.cfg.seed, _DRAWS, clips)
    validation = _clips(source, corpus, "validation", 0, _VALIDATION, clips)
    horizon, count = int(source.cfg.size.joint.horizon), int(source.cfg.size.joint.test_clips)
    test = _clips(source, corpus, "test", 1, count, horizon + 1)
    some = collate_joint([train[k] for k in range(min(4, settings.batch_size))])
    table: dict[str, dict[str, float]] = {}
    reference = 0
    for sharing in ("reconstruction", "shared", "two_encoders"):
        assert sharing in get_args(Sharing)
        arm = build(source, corpus, sharing)
        flops = flops_of_step(arm, some)
        reference = reference or flops
        steps = max(1, round(settings.steps * reference / flops))
        equal = settings.model_copy(update={"steps": steps})
        folder = RunDirectory(directory.path / sharing)
        result = train_arm(source, arm, train, validation, equal, folder, collate_joint)
        table[sharing] = {**_measure(arm, test), "steps": float(steps), "seconds": result.seconds}
    write_table(directory, "One trunk or two, at equal compute, on held-out episodes", table)
    figures = {f"joint_{arm}_{name}": v for arm, row in table.items() for name, v in row.items()}
    alone, shared = table["reconstruction"], table["shared"]
    return figures | {
        "joint_psnr_loss_db": alone["rollout_psnr"] - shared["rollout_psnr"],
        "joint_vlm_loss": alone["answers_right"] - shared["answers_right"],
    }


def build(source: Source, corpus: SpeechCorpus, sharing: Sharing) -> JointObjective:
    """Fresh models of the configured size; the same weights in every arm."""
    size, tokenizer = source.cfg.size, text_tokenizer(source)
    torch.manual_seed(source.cfg.seed)
    trunk = VideoTokenizer(**_plain(size.tokenizer))
    second = copy.deepcopy(trunk) if sharing == "two_encoders" else None
    height_px, width_px = source.flat.frames.shape[1:3]
    channels = int(size.tokenizer.latent_channels)
    seen = {"channels": channels, "tokens": trunk.tokens(height_px, width_px)}
    clip = ClipModel(vocabulary=len(tokenizer), text_length=_CLIP_TEXT, **seen, **_plain(size.clip))
    dynamics = Dynamics(
        action_dim=source.flat.actions.shape[1],
        goal_dim=source.flat.goals.shape[1],
        rows=height_px // STRIDE,
        columns=width_px // STRIDE,
        channels=channels,
        **_plain(size.dynamics),
    )
    codec = AudioCodec(**_plain(size.codec))
    crops = SpeechCrops(corpus, "train", _AUDIO_HOPS * HOP, 0, _STARTING_CROPS)
    with torch.no_grad():
        first = torch.stack([crops[k]["audio"] for k in range(_STARTING_CROPS)])
        codec.quantizer.start(codec.encode(first))
    vlm = AnswerObjective(_vlm(source, clip, seen), tokenizer)
    # A head for what the tower may be told beside answers; nothing of the kind is told here.
    vlm.landmarks = None
    parts = Parts(
        TokenizerObjective(trunk),
        DynamicsObjective(dynamics, _recipe(int(size.joint.frames))),
        clip,
        vlm,
        CodecObjective(codec),
    )
    return JointObjective(parts, sharing, second)


def flops_of_step(arm: JointObjective, batch: Mapping[str, Tensor]) -> int:
    """Floating-point operations of one forward and backward pass over a batch."""
    before = copy.deepcopy(arm.state_dict())
    with FlopCounterMode(display=False) as counter:
        arm(**batch)["loss"].backward()
    arm.zero_grad(set_to_none=True)
    arm.load_state_dict(before)
    return int(counter.get_total_flops())


def _clips(
    source: Source, corpus: SpeechCorpus, split: str, seed: int, samples: int, frames: int
) -> JointClips:
    tokenizer = text_tokenizer(source)
    crops = SpeechCrops(corpus, split, _AUDIO_HOPS * HOP, seed, _DRAWS)
    height_px = source.flat.frames.shape[1]
    tokens = (height_px // STRIDE) ** 2 // math.prod(source.cfg.size.projector.merge)
    return JointClips(
        source.flat,
        crops,
        tokenizer,
        Marks.of(tokenizer),
        tokens,
        split,
        frames,
        seed,
        samples,
        source.action_bounds,
    )


def _vlm(source: Source, clip: ClipModel, seen: dict[str, int]) -> VlmModel:
    """A small vision-language model with a tower like CLIP's."""
    size, tokenizer = source.cfg.size, text_tokenizer(source)
    sizes = {name: value for name, value in _plain(size.language).items() if name != "name"}
    language = small_language(tokenizer, **sizes)
    tower = {n: clip.config[n] for n in ("width", "hidden", "layers", "heads", "neighbours")}
    return VlmModel(
        language_config=language.config.to_diff_dict() | {"model_type": "llama"},
        mark_ids=asdict(Marks.of(tokenizer)),
        **seen,
        **tower,
        merge=tuple(size.projector.merge),
    )


def _recipe(frames: int) -> Recipe:
    stage = {"steps": 1, "frames": frames, "unroll": False}
    return Recipe.model_validate({"name": "joint", "stages": [stage]})


@torch.no_grad()
def _measure(arm: JointObjective, test: JointClips) -> dict[str, float]:
    """PSNR of frames, of rollouts and of the frozen frame, and the share of right answers."""
    batch = collate_joint([test[k] for k in range(len(test))])
    video = batch["video"]
    latents = arm.trunk.encode(video)
    model = arm.dynamics.average
    memory = model.start(latents[:, 0])
    for step in range(video.shape[1] - 1):
        prediction = model.predict(memory, batch["actions"][:, step])
        memory = model.advance(memory, prediction.latents, prediction)
    true = video[:, -1:]
    row = {
        "tokeniser_psnr": _psnr(arm.trunk.decode(latents[:, -1:]), true),
        "rollout_psnr": _psnr(arm.trunk.decode(memory.latents[:, None]), true),
        "frozen_psnr": _psnr(video[:, :1].float() / 255, true),
    }
    batch["glances"] = arm.seen(video, latents)
    said = arm.vision.answer(batch).next
    # The end of an answer is always said rightly.
    counted = said.ids != arm.vision.marks.eos
    row["answers_right"] = float((said.logits.argmax(-1) == said.ids)[counted].float().mean())
    pictures = arm.clip.image_vectors(arm.clip.features(batch["glances"]))
    near = pictures @ arm.clip.text_vectors(batch["text"]).T
    own = near.diagonal()[:, None]
    row["caption_rank_share"] = float((near > own).float().mean())
    return row


def _psnr(made: Tensor, true: Tensor) -> float:
    error = (made.clamp(0, 1) - true.float() / 255).square().flatten(1).mean(-1)
    return float(np.mean(-10 * error.clamp(min=1e-10).log10().numpy()))


def _plain(config: Any) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(config, resolve=True)
    return dict(values)
