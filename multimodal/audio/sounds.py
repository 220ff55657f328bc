"""Sounds that are not speech, made from random numbers: what a codec must not fall over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "synthetic_sound"]

_Sound = NDArray[np.float32]


def _tones(rng: np.random.Generator, samples: int, rate_hz: int) -> _Sound:
    """A chord of one to six notes, each of a few harmonics."""
    time_s = np.arange(samples, dtype=np.float32) / rate_hz
    sound = np.zeros(samples, np.float32)
    for _ in range(rng.integers(1, 7)):
        pitch_hz = 60 * 2 ** rng.uniform(0, 5)
        for harmonic in range(1, int(rng.integers(2, 6))):
            phase = rng.uniform(0, 2 * np.pi)
            sound += np.sin(2 * np.pi * pitch_hz * harmonic * time_s + phase) / harmonic
    return sound.astype(np.float32)


def _chirp(rng: np.random.Generator, samples: int, rate_hz: int) -> _Sound:
    """A tone that glides up or down."""
    low_hz, high_hz = 60 * 2 ** rng.uniform(0, 6, 2)
    pitch_hz = np.geomspace(low_hz, high_hz, samples)
    return np.sin(2 * np.pi * np.cumsum(pitch_hz) / rate_hz).astype(np.float32)


def _noise(rng: np.random.Generator, samples: int, rate_hz: int) -> _Sound:
    """Noise with a spectrum that falls by 0 to 12 dB an octave."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency_hz = np.fft.rfftfreq(samples, 1 / rate_hz)
    tilt = np.maximum(frequency_hz, 50) ** -rng.uniform(0, 2)
    return np.fft.irfft(spectrum * tilt, samples).astype(np.float32)


def _clicks(rng: np.random.Generator, samples: int, rate_hz: int) -> _Sound:
    """Knocks: short bursts that ring out."""
    sound = np.zeros(samples, np.float32)
    for _ in range(rng.integers(1, 9)):
        start = int(rng.integers(samples))
        time_s = np.arange(samples - start) / rate_hz
        ring = np.sin(2 * np.pi * rng.uniform(100, 5000) * time_s)
        sound[start:] += (ring * np.exp(-time_s * rng.uniform(20, 300))).astype(np.float32)
    return sound


def _silence(rng: np.random.Generator, samples: int, rate_hz: int) -> _Sound:
    """Nothing at all."""
    return np.zeros(samples, np.float32)


KINDS: Final[dict[str, Callable[[np.random.Generator, int, int], _Sound]]] = {
    "tones": _tones,
    "chirp": _chirp,
    "noise": _noise,
    "clicks": _clicks,
    "silence": _silence,
}


def synthetic_sound(
    rng: np.random.Generator, samples: int, rate_hz: int, kind: str | None = None
) -> _Sound:
    """One sound of a kind, drawn at random unless named.

    Args:
        rng: where it is drawn from.
        samples: its length.
        rate_hz: its sampling rate.
        kind: a name in `KINDS`.

    Returns:
        float32 (samples,), at its loudest 1, or all zero for silence.
    """
    chosen = kind or str(rng.choice(list(KINDS)))
    sound = KINDS[chosen](rng, samples, rate_hz)
    peak = float(np.abs(sound).max())
    return sound / peak if peak > 0 else sound
