"""Speech as a recogniser learns it: batches of like length, every utterance in another noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.audio.log_mel import BANDS, RATE_HZ, log_mel
from multimodal.errors import DatasetError
from multimodal.speech.corpus import Spoken, SpokenCommands
from multimodal.speech.disturb import Sound, add_noise, babble, coloured_noise, reverberate
from multimodal.speech.model import LONGEST_WINDOW_S, STEP

__all__ = ["SpeechBatches", "first_of"]

_POOL_S = 120
# Utterances that nobody says: noise alone, of which nothing shall be understood.
_NOBODY = 0.04
# So many utterances around a random length make a batch.
_NEAR = 300
_FEWEST, _MOST = 6, 64


class SpeechBatches(Dataset[dict[str, Any]]):
    """Batches of about the same number of seconds; batch i depends on the seed and i alone.

    Args:
        corpus: what is said.
        split: train, validation or test.
        seed: of the choice.
        count: how many batches there are.
        seconds: sound in a batch, padding included.
        varied: vary voice, room, noise and level as for training; otherwise noise at 15 dB.

    Raises:
        DatasetError: the split holds no speech.
    """

    def __init__(
        self,
        corpus: SpokenCommands,
        split: str,
        seed: int,
        count: int,
        seconds: float,
        varied: bool = True,
    ) -> None:
        self._corpus, self._seed, self._count = corpus, seed, count
        self._seconds, self._varied = seconds, varied
        longest = (LONGEST_WINDOW_S - 1) * RATE_HZ
        utterances = [each for each in corpus.of(split) if each.samples <= longest]
        if not utterances:
            raise DatasetError(f"{corpus.folder} has no {split} speech: record it anew.")
        self._utterances = sorted(utterances, key=lambda each: each.samples)
        rng = np.random.default_rng((seed, 1))
        some = rng.choice(len(self._utterances), min(200, len(self._utterances)), replace=False)
        voices = [corpus.read(self._utterances[number]) for number in some]
        self._noises = {
            "babble": babble(rng, voices, _POOL_S * RATE_HZ),
            **{
                f"fall {fall}": coloured_noise(rng, _POOL_S * RATE_HZ, fall)
                for fall in (0.3, 0.6, 1.0)
            },
        }

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One batch.

        Returns:
            features float32 (B, 80, F), texts, and spans float32 (B, 2), the positions of the
            encoder between which each is said.
        """
        if not 0 <= index < self._count:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, 2, index))
        chosen = self._choose(rng)
        # Silence before and after; some have much of it.
        margin = int(rng.choice([0.3, 0.6, 1.0]) * RATE_HZ)
        samples = -(-(max(each.samples for each in chosen) + margin) // STEP) * STEP
        sounds, texts, spans = [], [], []
        for each in chosen:
            if rng.random() < _NOBODY:
                sounds.append(self._nobody(rng, samples))
                texts.append("")
                spans.append((0.0, 0.0))
                continue
            start = int(rng.integers(0, samples - each.samples + 1))
            sounds.append(self._said(rng, each, start, samples))
            texts.append(each.text)
            spans.append((start / STEP, (start + each.samples) / STEP))
        features = log_mel(torch.from_numpy(np.stack(sounds)), window_s=None)
        if self._varied:
            features = _masked(rng, _warped(rng, features))
        return {"features": features, "texts": texts, "spans": torch.tensor(spans)}

    def _choose(self, rng: np.random.Generator) -> list[Spoken]:
        middle = int(rng.integers(len(self._utterances)))
        near = self._utterances[max(0, middle - _NEAR) : middle + _NEAR]
        typical_s = self._utterances[middle].samples / RATE_HZ + 0.6
        count = int(np.clip(self._seconds / typical_s, _FEWEST, _MOST))
        picked = rng.choice(len(near), min(count, len(near)), replace=False)
        return [near[number] for number in picked]

    def _said(self, rng: np.random.Generator, spoken: Spoken, start: int, samples: int) -> Sound:
        sound = np.zeros(samples, np.float32)
        sound[start : start + spoken.samples] = self._corpus.read(spoken)
        if not self._varied:
            return add_noise(sound, coloured_noise(rng, samples), 15.0)
        if rng.random() < 0.35:
            sound = reverberate(rng, sound, rng.uniform(0.1, 0.5))
        if rng.random() < 0.85:
            sound = add_noise(sound, self._noise(rng, samples), rng.uniform(1, 30))
        return sound * np.float32(10 ** rng.uniform(-1.5, 0))

    def _nobody(self, rng: np.random.Generator, samples: int) -> Sound:
        return self._noise(rng, samples) * np.float32(10 ** rng.uniform(-3.0, -0.7))

    def _noise(self, rng: np.random.Generator, samples: int) -> Sound:
        kind = str(rng.choice(["white", "babble", *self._noises]))
        if kind == "white":
            return coloured_noise(rng, samples)
        pool = self._noises[kind]
        start = int(rng.integers(len(pool) - samples))
        return pool[start : start + samples]


def _warped(rng: np.random.Generator, features: Tensor) -> Tensor:
    """Longer and shorter vocal tracts, and microphones that colour: bands moved and weighted.

    Source: Jaitly and Hinton, "Vocal Tract Length Perturbation" (2013).
    """
    batch = len(features)
    bands = np.arange(BANDS)
    factor = rng.uniform(0.86, 1.16, (batch, 1))
    place = np.clip(bands * factor, 0, BANDS - 1)
    low = torch.from_numpy(place.astype(np.int64))
    share = torch.from_numpy((place - place.astype(np.int64)).astype(np.float32))[..., None]
    rows = torch.arange(batch)[:, None]
    moved = (
        features[rows, low] * (1 - share) + features[rows, (low + 1).clamp_max(BANDS - 1)] * share
    )
    slope = rng.uniform(-0.25, 0.25, (batch, 1)) * (bands / BANDS - 0.5)
    wave = rng.uniform(0, 0.1, (batch, 1)) * np.sin(
        bands / BANDS * rng.uniform(3, 12, (batch, 1)) + rng.uniform(0, 6.3, (batch, 1))
    )
    return moved + torch.from_numpy((slope + wave).astype(np.float32))[..., None]


def _masked(rng: np.random.Generator, features: Tensor) -> Tensor:
    """Bands and moments that are not heard.

    Source: Park et al., "SpecAugment" (2019).
    """
    frames = features.shape[2]
    for row in features:
        quiet = float(row.mean())
        for _ in range(2):
            width, first = int(rng.integers(0, 12)), int(rng.integers(0, BANDS - 12))
            row[first : first + width] = quiet
            width, first = int(rng.integers(0, 12)), int(rng.integers(0, max(1, frames - 12)))
            row[:, first : first + width] = quiet
    return features


def first_of(batches: list[dict[str, Any]]) -> dict[str, Any]:
    """Collate for a loader whose samples are whole batches already."""
    return batches[0]
