"""The stage `clip` of `worldmodel train`: pictures and sentences, on the shared trunk's tokens."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from transformers import PreTrainedTokenizerBase

from multimodal.clip import ClipModel
from multimodal.clip_data import CaptionedPictures, prompt_ids
from multimodal.eyes import Eyes
from multimodal.flat import FlatEpisodes
from multimodal.landmarks import LandmarkPictures
from multimodal.pictures import Pictures
from multimodal.store import EpisodeStore
from multimodal.text_tokenizer import load_text_tokenizer, train_text_tokenizer
from multimodal.tokenizer import VideoTokenizer
from multimodal.trunk import open_trunk, trunk_fingerprint
from worldmodel.device import choose_compute
from worldmodel.durable import atomic_directory
from worldmodel.latents import cached_latents
from worldmodel.objectives.clip import ClipObjective
from worldmodel.readers import named_eyes, trunk_folder
from worldmodel.seen_things import cached_things
from worldmodel.training.processes import first_process_first
from worldmodel.training.work import Work

if TYPE_CHECKING:
    from worldmodel.training.stages import Source

__all__ = [
    "clip_inputs",
    "clip_work",
    "eyes",
    "eyes_inputs",
    "open_flat",
    "pictures_in",
    "printed_pictures",
    "seen_latents",
    "text_tokenizer",
    "trunk",
    "trunk_inputs",
]

# Pictures are drawn with their number as the seed; so many differ before they come again.
_DRAWS = 2**22
_VALIDATION_PICTURES = 512
_TEXT_LENGTH = 48
# How often landmarks are learnt from a dataset's own frames, and from print.
_DENSE_SHARES = (0.4, 1.0)


def trunk(source: Source) -> VideoTokenizer:
    """The shared trunk that the configuration names."""
    return open_trunk(trunk_folder(source.cfg.trunk))


def eyes(source: Source) -> Eyes:
    """The shared trunk, and the reader of layers beside it where there is one."""
    return named_eyes(source.cfg.trunk)


def trunk_inputs(source: Source) -> dict[str, Any]:
    """What decides how the pictures are read."""
    return {"trunk": trunk_fingerprint(trunk(source))}


def eyes_inputs(source: Source) -> dict[str, Any]:
    """What decides how CLIP and the vision-language model see."""
    return eyes(source).names


def clip_inputs(source: Source) -> dict[str, Any]:
    """What else decides what CLIP learns: its eyes, and the print whose landmarks it learns."""
    path = source.cfg.reading
    return {**eyes_inputs(source), "reading": None if path is None else open_flat(path).key}


def seen_latents(source: Source, flat: FlatEpisodes, data: Path | str) -> NDArray[np.float16]:
    """A dataset through the trunk, encoded once; float16 (F, N, C)."""
    tokenizer = trunk(source).to(choose_compute().device)
    with first_process_first():
        return cached_latents(tokenizer, flat, Path(data) / "latents")


def open_flat(path: Path | str) -> FlatEpisodes:
    """A recorded dataset as flat arrays."""
    return FlatEpisodes.open(EpisodeStore.open(Path(path).parent, Path(path).name))


def pictures_in(source: Source, path: Path | str) -> Pictures:
    """A recorded dataset, looked at once."""
    flat, reader = open_flat(path), eyes(source).reader
    latents = seen_latents(source, flat, path)
    if reader is None:
        return Pictures(flat, latents)
    with first_process_first():
        return Pictures(flat, latents, cached_things(reader, flat, Path(path) / "things"))


def printed_pictures(source: Source) -> list[Pictures]:
    """The signs and charts that the configuration names; none without."""
    path = source.cfg.reading
    return [] if path is None else [pictures_in(source, path)]


def text_tokenizer(source: Source) -> PreTrainedTokenizerBase:
    """The tokeniser of texts in `cfg.text`, trained now where it is not there yet."""
    folder = Path(source.cfg.text)
    with first_process_first():
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            tokenizer = train_text_tokenizer()
            with atomic_directory(folder) as temporary:
                tokenizer.save_pretrained(temporary)
    return load_text_tokenizer(folder)


def clip_work(source: Source) -> Work:
    """Pictures and sentences that agree where the sentence is true."""
    tokenizer, own = text_tokenizer(source), pictures_in(source, source.cfg.data)
    architecture: Any = OmegaConf.to_container(source.cfg.size.clip, resolve=True)
    shape = {
        **eyes(source).names,
        "size_px": own.flat.frames.shape[1],
        **asdict(own.layout),
        "vocabulary": len(tokenizer),
        "text_length": _TEXT_LENGTH,
    }
    sources = [own, *printed_pictures(source)]

    def pictures(split: str, seed: int, samples: int) -> CaptionedPictures:
        dense = LandmarkPictures(sources, _DENSE_SHARES[: len(sources)], split, seed, samples)
        return CaptionedPictures(own, tokenizer, split, seed, samples, _TEXT_LENGTH, dense=dense)

    return Work(
        lambda: ClipObjective(
            ClipModel(**shape, **architecture), prompt_ids(tokenizer, _TEXT_LENGTH), tokenizer
        ),
        pictures("train", source.cfg.seed, _DRAWS),
        pictures("validation", 0, _VALIDATION_PICTURES) if source.holds_out else None,
    )
