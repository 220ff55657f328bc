"""Random second-long pieces of a speech corpus, varied so that few voices sound like many."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.audio.sounds import synthetic_sound
from multimodal.audio.speech import RATE_HZ, SpeechCorpus
from multimodal.errors import DatasetError

__all__ = ["SpeechCrops"]

_Sound = NDArray[np.float32]
_SYNTHETIC_SHARE = 0.06
_VARIED_SHARE = 0.6


class SpeechCrops(Dataset[dict[str, Tensor]]):
    """Crops of utterances; crop i depends on the seed and i alone.

    Args:
        corpus: the speech.
        split: train, validation or test.
        samples: length of a crop at 24 kHz.
        seed: of the choice.
        count: how many crops there are.
        varied: change pitch, level, tone and background, and mix in other sounds, as for training.

    Raises:
        DatasetError: the split holds no speech.
    """

    def __init__(
        self,
        corpus: SpeechCorpus,
        split: str,
        samples: int,
        seed: int,
        count: int,
        varied: bool = False,
    ) -> None:
        self._corpus, self._samples = corpus, samples
        self._seed, self._count, self._varied = seed, count, varied
        self._utterances = corpus.of(split)
        if not self._utterances:
            raise DatasetError(f"{corpus.folder} has no {split} speech: record it anew.")
        lengths = np.array([each.samples for each in self._utterances], dtype=np.float64)
        self._shares = lengths / lengths.sum()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """audio: float32 (samples,)."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        rng = np.random.default_rng([self._seed, index])
        if not self._varied:
            return {"audio": torch.from_numpy(self._speech(rng, 1.0))}
        if rng.random() < _SYNTHETIC_SHARE:
            sound = synthetic_sound(rng, self._samples, RATE_HZ)
        else:
            sound = self._varied_speech(rng)
        level = 10 ** (rng.uniform(-24, 0) / 20)
        peak = float(np.abs(sound).max())
        sound = sound * np.float32(level / peak) if peak > 0 else sound
        return {"audio": torch.from_numpy(np.ascontiguousarray(sound, dtype=np.float32))}

    def _speech(self, rng: np.random.Generator, factor: float) -> _Sound:
        """Speech played `factor` times as fast: (samples,), silent where the utterance ends."""
        utterance = self._utterances[int(rng.choice(len(self._utterances), p=self._shares))]
        wanted = int(np.ceil(self._samples * factor)) + 1
        start = int(rng.integers(max(1, utterance.samples - wanted + 1)))
        audio = self._corpus.read(utterance, start, wanted)
        if factor != 1.0:
            positions = np.arange(int(len(audio) / factor)) * factor
            audio = np.interp(positions, np.arange(len(audio)), audio).astype(np.float32)
        audio = audio[: self._samples]
        return np.pad(audio, (0, self._samples - len(audio)))

    def _varied_speech(self, rng: np.random.Generator) -> _Sound:
        if rng.random() > _VARIED_SHARE:
            return self._speech(rng, 1.0)
        sound = _coloured(rng, self._speech(rng, float(np.exp(rng.uniform(-0.2, 0.2)))))
        loudness = float(np.sqrt(np.mean(sound**2)))
        if rng.random() < 0.3:
            other = synthetic_sound(rng, self._samples, RATE_HZ)
        elif rng.random() < 0.2:
            other = self._speech(rng, 1.0)
        else:
            return sound
        other_loudness = float(np.sqrt(np.mean(other**2)))
        if other_loudness == 0:
            return sound
        share = 10 ** (rng.uniform(-40, -3) / 20)
        return sound + other * np.float32(share * loudness / other_loudness)


def _coloured(rng: np.random.Generator, sound: _Sound) -> _Sound:
    """Through another microphone: a smooth random curve of up to ±9 dB over the spectrum."""
    spectrum = np.fft.rfft(sound)
    frequency = np.log2(np.fft.rfftfreq(len(sound), 1 / RATE_HZ) + 50)
    knots = np.linspace(frequency[0], frequency[-1], 6)
    gain_db = np.interp(frequency, knots, rng.uniform(-9, 9, 6))
    return np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(sound)).astype(np.float32)
