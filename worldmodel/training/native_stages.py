"""The stages of `worldmodel train objective=native`: a discrete exit, then one model for all."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch.utils.data import Dataset

from multimodal.audio.speech import SpeechCorpus
from multimodal.audio.spoken_questions import record_questions
from multimodal.audio.unit_rows import UnitRows, pad_rows
from multimodal.audio.units import SpeechUnits
from multimodal.clip_data import allowed_rows, token_at
from multimodal.flat import FlatEpisodes
from multimodal.image_codes import ImageCodes
from multimodal.language import COLOURS, SHAPES, Scene
from multimodal.native.model import NativeModel
from multimodal.native.reader import CODES_FOLDER, TEXT_FOLDER, UNITS_FOLDER
from multimodal.native.rows import NativeRows, Senses
from multimodal.sequence import ActionBins, collate
from multimodal.text_tokenizer import encode_text
from multimodal.trunk import trunk_fingerprint
from worldmodel.checkpoint import resolve, verify
from worldmodel.ears import ears_networks
from worldmodel.objectives.image_codes import ImageCodesObjective
from worldmodel.objectives.native import NativeObjective
from worldmodel.objectives.speech_units import SpeechUnitsObjective
from worldmodel.training.clip_stage import seen_latents, text_tokenizer, trunk, trunk_inputs
from worldmodel.training.processes import first_process_first
from worldmodel.training.work import Work

if TYPE_CHECKING:
    from worldmodel.training.stages import Source

__all__ = [
    "image_codes_work",
    "native_inputs",
    "native_model",
    "native_work",
    "senses_of",
    "units_data",
    "units_work",
]

_DRAWS = 2**22
_VALIDATION_ROWS = 64
_VALIDATION_FRAMES = 256
_RATE_HZ = 16_000


class _Frames(Dataset[dict[str, NDArray[Any]]]):
    """Latents of random frames, and what stands in which token; item i is of (seed, i) alone."""

    def __init__(
        self, flat: FlatEpisodes, latents: NDArray[np.float16], split: str, seed: int, samples: int
    ) -> None:
        self.flat, self.latents, self.rows = flat, latents, allowed_rows(flat, split)
        self.seed, self.samples = seed, samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]:
        row = int(np.random.default_rng([self.seed, index, 19]).choice(self.rows))
        latents = np.array(self.latents[row])
        named = np.zeros((len(latents), 2), np.int64)
        for thing in Scene.from_state(self.flat.state, row).objects:
            place = token_at(thing.x_m, thing.y_m, len(latents))
            named[place] = 1 + SHAPES.index(thing.shape), 1 + COLOURS.index(thing.colour)
        return {"latents": latents, "named": named}


def image_codes_work(source: Source) -> Work:
    """Latents that come back through few integers."""
    flat = source.flat
    latents = seen_latents(source, flat, source.cfg.data)
    architecture = _plain(source.cfg.size.image_codes)
    shape = {"trunk": trunk_fingerprint(trunk(source)), "channels": latents.shape[2]}
    return Work(
        lambda: ImageCodesObjective(ImageCodes(**shape, **architecture)),
        _Frames(flat, latents, "train", source.cfg.seed, _DRAWS),
        _Frames(flat, latents, "validation", 0, _VALIDATION_FRAMES) if source.holds_out else None,
    )


def units_work(source: Source) -> Work:
    """Units of speech that letters can be read off; speech is made where missing."""
    cfg = source.cfg
    architecture = _plain(cfg.size.speech_units)
    start = architecture.pop("start")
    with first_process_first():
        corpus = _questions(source)

    def objective() -> SpeechUnitsObjective:
        units = SpeechUnits(**architecture)
        if start is not None:
            units.start_from(ears_networks(resolve(start))[1])
        return SpeechUnitsObjective(units)

    return Work(
        objective,
        UnitRows(corpus, "train", cfg.seed, _DRAWS),
        UnitRows(corpus, "validation", 0, _VALIDATION_ROWS, changed=False),
        pad_rows,
    )


def units_data(source: Source) -> dict[str, Any]:
    """What units of speech learn from: sentences and voices."""
    heard = _questions(source).of("train")
    digest = hashlib.sha256()
    for each in heard:
        digest.update(f"{each.file}|{each.samples}|{each.text}\n".encode())
    return {
        "id": Path(source.cfg.questions).name,
        "fingerprint": digest.hexdigest()[:16],
        "utterances": len(heard),
        "voices": len({(each.engine, each.voice) for each in heard}),
        "texts": len({each.text for each in heard}),
    }


def senses_of(source: Source) -> Senses:
    """What pictures, speech, texts and actions become ids through; speech is made where missing."""
    codes = ImageCodes.from_pretrained(source.model("image_codes"), torch_dtype=torch.float32)
    units = SpeechUnits.from_pretrained(source.model("speech_units"), torch_dtype=torch.float32)
    with first_process_first():
        corpus = _questions(source)
    low, high = source.action_bounds
    bins = ActionBins(tuple(low.tolist()), tuple(high.tolist()), int(source.cfg.size.native.bins))
    return Senses(text_tokenizer(source), codes.eval(), units.eval(), corpus, bins)


def native_inputs(source: Source) -> dict[str, Any]:
    """What else decides the native model: the trunk, its discrete exit, and what is heard."""
    return {
        **trunk_inputs(source),
        "codes": _weights_of(source, "image_codes"),
        "units": _weights_of(source, "speech_units"),
        "questions": len(_questions(source).utterances),
        "mixture": _plain(source.cfg.mixture),
        "pull": None if source.cfg.pull is None else _plain(source.cfg.pull),
    }


def native_rows(source: Source, senses: Senses, split: str, **options: Any) -> NativeRows:
    """Rows of a split, as the configuration mixes them."""
    latents = seen_latents(source, source.flat, source.cfg.data)
    seed, samples = (source.cfg.seed, _DRAWS) if split == "train" else (0, _VALIDATION_ROWS)
    chosen = {"mixture": _plain(source.cfg.mixture), **options}
    return NativeRows(source.flat, latents, senses, split, seed, samples, **chosen)


def native_model(source: Source, senses: Senses, sizes: str = "native") -> NativeModel:
    """A fresh model that knows what its codes stand for.

    Args:
        source: of the verb `train`.
        senses: what makes ids of everything.
        sizes: the group of the configuration that holds its sizes.
    """
    size = _plain(source.cfg.size[sizes])
    chosen = {name: size[name] for name in ("width", "hidden", "layers", "heads", "length")}
    codes, words = senses.codes, senses.vocabulary
    tokens = round(source.flat.frames.shape[1] / 8) ** 2
    meanings = senses.units.meanings()
    model = NativeModel(
        NativeModel.plain(words),
        codes.config.trunk,
        places=tokens * words.image[0],
        digits=(int(codes.config.levels), int(codes.config.digits)),
        bands=meanings.shape[1],
        **chosen,
    )
    model.explain_sounds(meanings)
    return model


def look_words(senses: Senses) -> tuple[list[int], list[int]]:
    """Ids of the words for shapes and for colours, as they stand inside of a text."""
    shapes, colours = (
        [encode_text(senses.tokenizer, f" {word}")[0] for word in words]
        for words in (SHAPES, COLOURS)
    )
    return shapes, colours


def native_work(source: Source) -> Work:
    """One next token after another, whatever it is."""
    senses = senses_of(source)
    pull = None if source.cfg.pull is None else _plain(source.cfg.pull)

    def save(folder: Path) -> None:
        senses.codes.save_pretrained(folder / CODES_FOLDER)
        # As their own stage rounded them: nothing is lost.
        copy.deepcopy(senses.units).to(torch.float16).save_pretrained(folder / UNITS_FOLDER)
        senses.tokenizer.save_pretrained(folder / TEXT_FOLDER)

    return Work(
        lambda: NativeObjective(native_model(source, senses), look_words(senses), save, pull),
        native_rows(source, senses, "train"),
        native_rows(source, senses, "validation") if source.holds_out else None,
        lambda rows: collate(rows, senses.vocabulary),
    )


def _questions(source: Source) -> SpeechCorpus:
    return record_questions(source.cfg.questions, int(source.cfg.size.native.voices))


def _weights_of(source: Source, stage: str) -> list[str]:
    files = verify(source.model(stage), stage)["files"]
    return sorted(each["sha256"] for name, each in files.items() if name.endswith(".safetensors"))


def _plain(config: Any) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(config, resolve=True)
    return dict(values)
