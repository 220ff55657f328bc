"""The stage `codec` of `worldmodel train`: the audio codec, on speech made on this machine."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import OmegaConf

from multimodal.audio.codec import HOP, RATE_HZ, AudioCodec
from multimodal.audio.crops import SpeechCrops
from multimodal.audio.speech import SpeechCorpus, record_speech
from worldmodel.objectives.codec import CodecObjective
from worldmodel.training.processes import first_process_first
from worldmodel.training.work import Work

if TYPE_CHECKING:
    from worldmodel.training.stages import Source

__all__ = ["codec_corpus", "codec_data", "codec_work"]

# Random crops are drawn with their number as the seed; so many differ before they come again.
_DRAWS = 2**20
_VALIDATION_CROPS = 48
# What the codebooks start from, about 20 vectors for each code.
_STARTING_CROPS = 384


def codec_corpus(source: Source) -> SpeechCorpus:
    """The speech in `cfg.speech`, made now where it is not there yet."""
    with first_process_first():
        each = int(source.cfg.size.budget.codec.sentences)
        few = max(1, each // 4)
        wanted = {"train": each, "validation": few, "test": few}
        return record_speech(source.cfg.speech, wanted)


def codec_data(source: Source) -> dict[str, Any]:
    """What the codec hears: number of sentences, minutes and voices for each engine."""
    corpus = codec_corpus(source)
    digest = hashlib.sha256()
    for each in corpus.utterances:
        digest.update(f"{each.file}|{each.samples}|{each.text}\n".encode())
    heard = corpus.of("train")
    return {
        "id": Path(source.cfg.speech).name,
        "fingerprint": digest.hexdigest()[:16],
        "sentences": len(heard),
        "minutes": round(sum(each.samples for each in heard) / RATE_HZ / 60, 1),
        "voices": dict(Counter(engine for engine, _ in {(e.engine, e.voice) for e in heard})),
        "held_out": dict(
            Counter(engine for engine, _ in {(e.engine, e.voice) for e in corpus.of("test")})
        ),
    }


def codec_work(source: Source) -> Work:
    """Sound that comes back through the codes, whatever the number of levels."""
    size = source.cfg.size
    architecture: Any = OmegaConf.to_container(size.codec, resolve=True)
    samples = int(size.budget.codec.hops) * HOP
    corpus, seed = codec_corpus(source), source.cfg.seed
    crops = SpeechCrops(corpus, "train", samples, seed, _DRAWS, varied=True)

    def build() -> CodecObjective:
        codec = AudioCodec(**architecture)
        with torch.no_grad():
            first = torch.stack([crops[number]["audio"] for number in range(_STARTING_CROPS)])
            codec.quantizer.start(codec.encode(first))
        return CodecObjective(codec)

    return Work(
        build,
        crops,
        SpeechCrops(corpus, "validation", samples, 0, _VALIDATION_CROPS),
    )
