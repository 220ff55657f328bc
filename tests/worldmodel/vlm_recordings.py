"""Small recorded scenes and a small trunk, to test CLIP and the vision-language model with."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from envs.push import PushWorld
from envs.recording import record_episode, seeds_of
from multimodal.language.corpus import sentences
from multimodal.store import EpisodeStore, StoreSettings
from multimodal.text_tokenizer import load_text_tokenizer, train_text_tokenizer
from multimodal.tokenizer import VideoTokenizer
from multimodal.vlm.language import small_language
from multimodal.vlm.model import VlmModel
from multimodal.vlm.turns import Marks
from worldmodel.checkpoint import shipped

TINY = [
    "size=tiny",
    "wandb=disabled",
    "compute=cpu/float32",
    "size.clip.width=16",
    "size.clip.hidden=32",
    "size.clip.layers=1",
    "size.clip.heads=2",
    "size.clip.text_width=16",
    "size.clip.text_layers=1",
    "size.clip.text_heads=2",
    "size.clip.embedding=8",
    "size.language.width=32",
    "size.language.hidden=32",
    "size.language.layers=2",
    "size.language.heads=2",
    "size.preference.frames=12",
    *(
        f"size.budget.{stage}.{name}"
        for stage in ("clip", "language", "projector", "instruct", "preference")
        for name in ("steps=2", "batch_size=4")
    ),
]


def record_scenes(folder: Path, episodes: int = 14, kind: type[PushWorld] = PushWorld) -> Path:
    """Episodes with one or two objects; most show training combinations only."""
    world = kind(objects=(1, 2))
    options = json.dumps({"objects": [1, 2]})
    name = f"worldmodel/{kind.__name__.removesuffix('World')}-v0"
    recording = {"world": name, "size_px": 64, "options": options}
    settings = StoreSettings(action_space=world.action_space, metadata={"recording": recording})
    store = EpisodeStore.create(folder.parent, folder.name, settings)
    seeds = seeds_of("train", episodes) + seeds_of("validation", 6) + seeds_of("test", 10)
    store.append(record_episode(world, seed=seed, steps=4) for seed in seeds)
    world.close()
    return folder


def save_trunk(folder: Path, seed: int = 0) -> Path:
    """An untrained tokeniser: what it sees differs from place to place all the same."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        VideoTokenizer(latent_channels=8, width=16).save_pretrained(folder)
    return folder


def save_eyes(folder: Path) -> Path:
    """An untrained tokeniser beside the shipped reader of layers, as a world model has them."""
    save_trunk(folder / "tokenizer")
    shutil.copytree(shipped("push") / "layer_reader", folder / "layer_reader")
    return folder


def save_text(folder: Path) -> Path:
    """A tokeniser of texts from a small part of the corpus."""
    train_text_tokenizer(sentences(1000), vocab_size=600).save_pretrained(folder)
    return folder


def small_vlm(text: Path, word_size: float | None = None, **sizes: Any) -> VlmModel:
    """A small model with fresh weights.

    Args:
        text: where its tokeniser of texts goes, or is.
        word_size: of each number of a word; fresh ones of 0.02 look alike.
        sizes: other arguments of VlmModel.
    """
    tokenizer = load_text_tokenizer(text if text.is_dir() else save_text(text))
    language = small_language(tokenizer, width=32, hidden=32, layers=1, heads=2)
    config = language.config.to_diff_dict() | {"model_type": "llama"}
    given = {"width": 24, "hidden": 24, "layers": 1, "heads": 2} | sizes
    model = VlmModel(config, asdict(Marks.of(tokenizer)), **given)
    if word_size is not None:
        model.language.get_input_embeddings().weight.data.normal_(0, word_size)
    return model
