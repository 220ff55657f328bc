"""The stages of the vision-language model: language, projector, instruct, preference.

Each starts from the models of the stages before it (`clip` is the first), is one command and
resumable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from multimodal.clip import ClipModel
from multimodal.errors import ConfigError
from multimodal.pictures import Pictures
from multimodal.text_tokenizer import load_text_tokenizer
from multimodal.vlm.copying import copied_ids
from multimodal.vlm.language import open_language, small_language
from multimodal.vlm.model import VlmModel
from multimodal.vlm.preferences import PreferencePairs, collate_pairs, draw_preferences
from multimodal.vlm.projector import FrameTokens
from multimodal.vlm.questioned import QuestionedPictures
from multimodal.vlm.sentences import SentenceRows
from multimodal.vlm.shared import TEXT_FOLDER
from multimodal.vlm.turns import Marks, collate_rows
from worldmodel.checkpoint import verify
from worldmodel.objectives.vlm import (
    AnswerObjective,
    LanguageObjective,
    PreferenceObjective,
    train_only,
)
from worldmodel.training.clip_stage import (
    eyes,
    eyes_inputs,
    open_flat,
    pictures_in,
    printed_pictures,
    text_tokenizer,
)
from worldmodel.training.work import Work

if TYPE_CHECKING:
    from worldmodel.training.stages import Source

__all__ = [
    "instruct_inputs",
    "instruct_work",
    "language_data",
    "language_work",
    "pictures_of",
    "preference_work",
    "projector_work",
    "vlm_data",
    "vlm_inputs",
]

# Rows are drawn with their number as the seed; so many differ before they come again.
_DRAWS = 2**24
_VALIDATION_ROWS = 128
_PARTS = ("tower", "projector", "language", "copier")


def language_data(source: Source) -> dict[str, Any]:
    """The corpus that the language model learns from: made, not stored."""
    return {"id": "multimodal.language.corpus", "fingerprint": "corpus-2"}


def vlm_data(source: Source) -> dict[str, Any]:
    """The episodes whose frames are asked about."""
    described = []
    for path in filter(None, (source.cfg.data, source.cfg.reading)):
        flat = open_flat(path)
        described.append((Path(path).name, flat.key, len(flat.splits), len(flat.frames)))
    return {
        "id": "+".join(name for name, _, _, _ in described),
        "fingerprint": "+".join(key for _, key, _, _ in described),
        "episodes": sum(count for _, _, count, _ in described),
        "frames": sum(count for _, _, _, count in described),
    }


def vlm_inputs(*earlier: str) -> Callable[[Source], dict[str, Any]]:
    """What else decides a stage's result: the eyes, and the weights of earlier stages."""

    def inputs(source: Source) -> dict[str, Any]:
        weights = {
            stage: sorted(
                record["sha256"]
                for name, record in verify(source.model(stage), stage)["files"].items()
                if name.endswith(".safetensors")
            )
            for stage in earlier
        }
        return {**eyes_inputs(source), **weights}

    return inputs


def pictures_of(source: Source) -> list[Pictures]:
    """The datasets, looked at once: scenes, and where there are such, signs and charts."""
    return [pictures_in(source, source.cfg.data), *printed_pictures(source)]


def language_work(source: Source) -> Work:
    """The language of the world as such: captions, instructions, questions with their answers."""
    size = _plain(source.cfg.size.language)
    name = size.pop("name")

    def build() -> LanguageObjective:
        model, tokenizer = _language(source, name, size)
        return LanguageObjective(model, tokenizer)

    _, tokenizer = _language(source, name, size)
    marks = Marks.of(tokenizer)
    return Work(
        build,
        SentenceRows(tokenizer, marks, source.cfg.seed, _DRAWS),
        SentenceRows(tokenizer, marks, 1 + source.cfg.seed, _VALIDATION_ROWS),
        collate_rows,
    )


def projector_work(source: Source) -> Work:
    """The projector alone: the vision tower of CLIP and the language model stay as they are."""
    size = _plain(source.cfg.size.projector)
    clip = ClipModel.from_pretrained(source.model("clip"))
    tokenizer = load_text_tokenizer(source.model("language") / TEXT_FOLDER)
    marks = Marks.of(tokenizer)
    seen = ("trunk", "reader", "size_px", "channels", "tokens", "slots", "fine_px")
    shared = (*seen, "width", "hidden", "layers", "heads", "neighbours", "changes")

    def build() -> AnswerObjective:
        language, _ = open_language(source.model("language"))
        model = VlmModel(
            language_config=language.config.to_diff_dict() | {"model_type": _kind(language)},
            mark_ids=asdict(marks),
            copied=copied_ids(tokenizer),
            **{name: clip.config[name] for name in shared},
            **size,
        )
        model.tower.load_state_dict(clip.tower.state_dict())
        model.language.load_state_dict(language.state_dict())
        return AnswerObjective(train_only(model, ["projector"]), tokenizer)

    return _answers(source, build, tokenizer, FrameTokens.of({**clip.config, **size}))


def instruct_inputs(source: Source) -> dict[str, Any]:
    """What else decides what instruction tuning learns: the projector, unless a model is named."""
    return (vlm_inputs() if source.cfg.initial else vlm_inputs("projector"))(source)


def instruct_work(source: Source) -> Work:
    """Answers to questions: the parts of the model that `size.instruct.learns` names learn.

    It starts from the projector's stage, or trains on a whole model, whose size and tokeniser of
    texts it then keeps.

    Raises:
        ConfigError: a part that shall learn is unknown, none is named or the model has none of
            them, or LoRA shall train a language model that is not among them.
    """
    learns, rank = list(source.cfg.size.instruct.learns), int(source.cfg.size.instruct.lora_rank)
    if not learns or set(learns) - set(_PARTS):
        raise ConfigError(f"size.instruct.learns={learns}: expected some of {', '.join(_PARTS)}.")
    if rank > 0 and "language" not in learns:
        raise ConfigError(
            f"size.instruct.lora_rank={rank} trains the language model, which is not in "
            f"size.instruct.learns={learns}; name it there, or set lora_rank=0."
        )
    initial = source.initial("instruct")
    folder = source.model("projector") if initial is None else initial.path.parent
    tokenizer = load_text_tokenizer(folder / TEXT_FOLDER)
    config = VlmModel.load_config(folder)
    eyes(source).require(config["trunk"], config["reader"], str(folder))
    if set(learns) == {"copier"} and not (config.get("slots") and config.get("copied")):
        raise ConfigError(
            f"size.instruct.learns={learns}: the model in {folder} copies no words, so nothing of "
            "it would learn; name other parts."
        )

    def build() -> AnswerObjective:
        return AnswerObjective(
            # Models ship in half precision.
            train_only(VlmModel.from_pretrained(folder).float(), learns),
            tokenizer,
            rank,
        )

    return _answers(source, build, tokenizer, FrameTokens.of(config))


def preference_work(source: Source) -> Work:
    """True descriptions over the model's own wrong ones: with false, missing or doubled objects."""
    folder = source.model("instruct")
    tokenizer = load_text_tokenizer(folder / TEXT_FOLDER)
    pictures, size = pictures_of(source), source.cfg.size.preference
    shares = _shares(source, pictures)

    def build() -> PreferenceObjective:
        model = VlmModel.from_pretrained(folder)
        train_only(model, _PARTS)
        return PreferenceObjective(model, tokenizer, float(size.beta))

    model = VlmModel.from_pretrained(folder).eval()

    def pairs(split: str, seed: int, frames: int) -> PreferencePairs:
        drawn = draw_preferences(model, tokenizer, pictures[0], frames, seed, split)
        kept = QuestionedPictures(
            pictures, shares, tokenizer, model.marks, model.frame, split, seed, len(drawn)
        )
        return PreferencePairs(drawn, pictures[0], tokenizer, model, kept)

    # Other questions than those of instruction tuning, which had the seed itself.
    seed = source.cfg.seed + 1
    train = pairs("train", seed, int(size.frames))
    validation = pairs("validation", 0, _VALIDATION_ROWS // 2) if source.holds_out else None
    return Work(build, train, validation, collate_pairs)


def _shares(source: Source, pictures: list[Pictures]) -> list[float]:
    """How often each dataset is asked about."""
    return [1.0, float(source.cfg.reading_share)][: len(pictures)]


def _answers(
    source: Source,
    build: Callable[[], nn.Module],
    tokenizer: PreTrainedTokenizerBase,
    frame: FrameTokens,
) -> Work:
    marks, pictures = Marks.of(tokenizer), pictures_of(source)
    shares = _shares(source, pictures)

    def questioned(split: str, seed: int, samples: int) -> QuestionedPictures:
        return QuestionedPictures(pictures, shares, tokenizer, marks, frame, split, seed, samples)

    validation = questioned("validation", 0, _VALIDATION_ROWS) if source.holds_out else None
    return Work(build, questioned("train", source.cfg.seed, _DRAWS), validation, collate_rows)


def _language(
    source: Source, name: str | None, size: dict[str, Any]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model that the configuration names, or a small one with fresh weights."""
    if name is not None:
        return open_language(name)
    tokenizer = text_tokenizer(source)
    return small_language(tokenizer, **size), tokenizer


def _kind(language: PreTrainedModel) -> str:
    return str(language.config.model_type)


def _plain(config: Any) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(config, resolve=True)
    return dict(values)
