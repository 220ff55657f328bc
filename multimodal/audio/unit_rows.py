"""What units of speech learn from: the features of sentences, changed as other voices would."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.audio.log_mel import RATE_HZ
from multimodal.audio.speech import SpeechCorpus
from multimodal.audio.units import FRAMES, unit_features
from multimodal.audio.waveform import read_audio

__all__ = ["UnitRows", "pad_rows"]

_SLOWEST, _FASTEST = 0.85, 1.2
# Bands: a longer or shorter throat.
_SHIFT = 2
# Noise in every band, this far below the loudest; features count four powers of ten as one.
_NOISY, _LOUDEST, _FAINTEST = 0.5, 0.35, 1.0
_NEPERS: Final = 4 * math.log(10)
_UNEVEN: Final = 0.05


class UnitRows(Dataset[dict[str, Any]]):
    """Sentences at random; item i is a function of (seed, i) and the corpus alone.

    Args:
        corpus: speech.
        split: of it.
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        changed: whether speed, pitch and noise vary.
    """

    def __init__(
        self,
        corpus: SpeechCorpus,
        split: str,
        seed: int,
        samples: int,
        changed: bool = True,
    ) -> None:
        self.corpus, self.utterances = corpus, corpus.of(split)
        self.seed, self.samples, self.changed = seed, samples, changed
        self._features: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, index, 41])
        number = int(rng.integers(len(self.utterances)))
        utterance = self.utterances[number]
        if number not in self._features:
            audio = read_audio(self.corpus.folder / utterance.file, RATE_HZ)
            self._features[number] = unit_features(audio)
        features = self._features[number]
        if self.changed:
            features = _changed(features, rng)
        return {"features": features, "text": utterance.text}


def pad_rows(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch: features float32 (B, 80, F) filled up with silence, frames int64 (B,), texts."""
    frames = [row["features"].shape[1] for row in rows]
    padded = [
        torch.cat([row["features"], row["features"].min().expand(80, max(frames) - n)], 1)
        for row, n in zip(rows, frames, strict=True)
    ]
    texts = [row["text"] for row in rows]
    return {"features": torch.stack(padded), "frames": torch.tensor(frames), "texts": texts}


def _changed(features: Tensor, rng: np.random.Generator) -> Tensor:
    """Slower or faster, higher or lower, in noise or not."""
    frames = round(features.shape[1] * rng.uniform(_SLOWEST, _FASTEST)) // FRAMES * FRAMES
    if frames:
        features = F.interpolate(features[None], frames, mode="linear")[0]
    shift = int(rng.integers(-_SHIFT, _SHIFT + 1))
    features = features.roll(shift, 0)
    if rng.random() < _NOISY:
        level = features.max() - rng.uniform(_LOUDEST, _FAINTEST)
        noise = level + torch.from_numpy(rng.normal(0, _UNEVEN, features.shape)).float()
        # Powers add up.
        features = torch.logaddexp(features * _NEPERS, noise * _NEPERS) / _NEPERS
    return features
