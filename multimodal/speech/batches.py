"""Speech as a recogniser learns it: batches of like length, every utterance said otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from multimodal.audio.log_mel import BANDS, RATE_HZ, log_mel_power
from multimodal.errors import DatasetError
from multimodal.speech.bands import Bands, recoloured
from multimodal.speech.corpus import SpokenCommands, engine_weights
from multimodal.speech.disturb import Sound, add_noise, echoed, hastened
from multimodal.speech.model import LONGEST_WINDOW_S, STEP
from multimodal.speech.noises import Noises

__all__ = ["SpeechBatches", "first_of"]

# More voices than these make no other babble, but take memory.
_MOST_VOICES = 1000
# Utterances that nobody says: noise alone, of which nothing shall be understood.
_NOBODY = 0.05
# So many utterances around a random length make a batch.
_NEAR = 400
_FEWEST, _MOST = 6, 64
# Powers of ten that a sound may be quieter than its file.
_LEVELS = (-1.5, 0.0)
# By how much speech is louder in the easiest batches than in the hardest.
_EASIEST_DB = 14.0


class SpeechBatches(Dataset[dict[str, Any]]):
    """Batches of about the same number of seconds; batch i depends on the seed and i alone.

    Args:
        corpus: what is said; a split's utterances are kept in memory, in 16 bits.
        split: train, validation or test.
        seed: of the choice.
        count: how many batches there are.
        seconds: sound in a batch, padding included.
        varied: vary mouth, room, noise and level as for training; otherwise noise at 15 dB.
        ratio_db: least and greatest of speech to noise in the hardest batches.
        easy: share of batches that are easy: from hard ones alone CTC finds its first letters late.

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
        ratio_db: tuple[float, float] = (0.0, 22.0),
        easy: float = 0.35,
    ) -> None:
        self._seed, self._count, self._seconds, self._varied = seed, count, seconds, varied
        self._ratio_db, self._easy = ratio_db, easy
        longest = (LONGEST_WINDOW_S / 1.25 - 1) * RATE_HZ
        utterances = [each for each in corpus.of(split) if each.samples <= longest]
        if not utterances:
            raise DatasetError(f"{corpus.folder} has no {split} speech: record it anew.")
        utterances.sort(key=lambda each: each.samples)
        self._texts = [each.text for each in utterances]
        self._sounds = [_stored(corpus.read(each)) for each in utterances]
        self._weights = engine_weights(utterances)
        rng = np.random.default_rng((seed, 1))
        some = rng.choice(len(utterances), min(_MOST_VOICES, len(utterances)), replace=False)
        self._noises = Noises(rng, [_sound(self._sounds[number]) for number in some])

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One batch.

        Returns:
            features float32 (B, 80, F) and texts.
        """
        if not 0 <= index < self._count:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, 2, index))
        chosen = self._choose(rng)
        hard = float(rng.uniform(0, 0.4) if rng.random() < self._easy else rng.uniform(0.4, 1.0))
        spoken = [self._said(rng, number, hard) for number in chosen]
        # Silence before and after; some have much of it.
        margin = float(rng.choice([0.2, 0.4, 0.8]))
        samples = max(len(each) for each in spoken) + round(margin * RATE_HZ)
        samples = -(-samples // STEP) * STEP
        texts, heard = [], []
        for number, each in zip(chosen, spoken, strict=True):
            nobody = rng.random() < _NOBODY
            texts.append("" if nobody else self._texts[number])
            heard.append(self._heard(rng, None if nobody else each, samples, hard))
        power = log_mel_power(torch.from_numpy(np.stack(heard)))[:, :BANDS]
        logarithms = power.clamp_min(1e-10).log10().transpose(1, 2).numpy()
        features = [self._features(rng, each, hard) for each in logarithms]
        return {"features": torch.from_numpy(np.stack(features)), "texts": texts}

    def _choose(self, rng: np.random.Generator) -> NDArray[np.int64]:
        middle = int(rng.integers(len(self._texts)))
        first = max(0, middle - _NEAR)
        weights = self._weights[first : middle + _NEAR]
        typical_s = len(self._sounds[middle]) / RATE_HZ + 0.6
        count = int(np.clip(self._seconds / typical_s, _FEWEST, _MOST))
        picked = rng.choice(
            len(weights), min(count, len(weights)), replace=False, p=weights / weights.sum()
        )
        chosen: NDArray[np.int64] = first + picked
        return chosen

    def _said(self, rng: np.random.Generator, number: int, hard: float) -> Sound:
        spoken = _sound(self._sounds[number])
        return hastened(rng, spoken, hard) if self._varied else spoken

    def _heard(
        self, rng: np.random.Generator, spoken: Sound | None, samples: int, hard: float
    ) -> Sound:
        """In a room with noise, somewhere in a silence; None is nobody."""
        if spoken is None:
            return self._noises.draw(rng, samples) * np.float32(0.1 * 10 ** rng.uniform(*_LEVELS))
        start = int(rng.integers(0, samples - len(spoken) + 1))
        whole = np.zeros(samples, np.float32)
        whole[start : start + len(spoken)] = spoken
        if not self._varied:
            return add_noise(whole, self._noises.draw(rng, samples), 15.0)
        if rng.random() < 0.5 * hard:
            whole = echoed(rng, whole)
        if rng.random() < 0.92:
            ratio_db = _EASIEST_DB * (1 - hard) + rng.uniform(*self._ratio_db)
            whole = add_noise(whole, self._noises.draw(rng, samples), ratio_db)
        return whole * np.float32(10 ** rng.uniform(*_LEVELS))

    def _features(self, rng: np.random.Generator, logarithm: Bands, hard: float) -> Bands:
        """As `multimodal.audio.log_mel.log_mel` writes them, (80, frames)."""
        if self._varied:
            logarithm = recoloured(rng, logarithm, hard)
        features = ((np.maximum(logarithm, logarithm.max() - 8.0) + 4.0) / 4.0).T
        return _masked(rng, features, hard) if self._varied else features


def _stored(sound: Sound) -> NDArray[np.int16]:
    return np.round(sound * 32767).astype(np.int16)


def _sound(stored: NDArray[np.int16]) -> Sound:
    return stored.astype(np.float32) / np.float32(32767)


def _masked(rng: np.random.Generator, features: Bands, hard: float) -> Bands:
    """Bands and moments that are not heard.

    Source: Park et al., "SpecAugment" (2019).
    """
    frames = features.shape[1]
    quiet = float(features.mean())
    for _ in range(2):
        width, first = int(rng.uniform(0, 14) * hard), int(rng.integers(0, BANDS - 14))
        features[first : first + width] = quiet
        width, first = int(rng.uniform(0, 12) * hard), int(rng.integers(0, max(1, frames - 12)))
        features[:, first : first + width] = quiet
    return features


def first_of(batches: list[dict[str, Any]]) -> dict[str, Any]:
    """Collate for a loader whose samples are whole batches already."""
    return batches[0]
