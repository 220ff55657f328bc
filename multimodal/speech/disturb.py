"""What a room does to speech: noise at a known level, many voices, loudness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from multimodal.audio.log_mel import RATE_HZ

__all__ = ["add_noise", "babble", "coloured_noise", "level"]

Sound = NDArray[np.float32]

_SHORTEST_PIECE = RATE_HZ // 4


def level(sound: Sound) -> float:
    """Root mean square of the half of a sound that is loudest, in pieces of 20 ms: its speech."""
    piece = RATE_HZ // 50
    whole = len(sound) // piece * piece
    if whole == 0:
        return float(np.sqrt(np.mean(np.square(sound)) + 1e-12))
    power = np.square(sound[:whole].reshape(-1, piece)).mean(1)
    loud = np.sort(power)[len(power) // 2 :]
    return float(np.sqrt(loud.mean() + 1e-12))


def coloured_noise(rng: np.random.Generator, samples: int, fall: float = 0.0) -> Sound:
    """Noise whose spectrum falls by `fall` times 6 dB an octave; white for 0.

    Returns:
        float32 (samples,), root mean square 1.
    """
    noise = rng.standard_normal(samples, np.float32)
    if fall:
        spectrum = np.fft.rfft(noise)
        frequency = np.maximum(np.fft.rfftfreq(samples, 1 / RATE_HZ), 60)
        noise = np.fft.irfft(spectrum * frequency**-fall, samples).astype(np.float32)
    return noise / max(1e-9, float(np.sqrt(np.mean(np.square(noise)))))


def babble(
    rng: np.random.Generator, voices: Sequence[Sound], samples: int, together: int = 6
) -> Sound:
    """Many people talking at once.

    Args:
        rng: where the choice is drawn from.
        voices: utterances of other people, each float32 (S,).
        samples: length of the result.
        together: how many talk at the same time.

    Returns:
        float32 (samples,), root mean square 1.
    """
    made = np.zeros(samples, np.float32)
    for _ in range(together):
        filled = -int(rng.integers(0, RATE_HZ * 2))
        while filled < samples:
            voice = voices[int(rng.integers(len(voices)))]
            voice = voice / max(1e-6, level(voice))
            start, stop = max(0, filled), min(samples, filled + len(voice))
            if stop > start:
                made[start:stop] += voice[start - filled : stop - filled]
            filled += max(len(voice), _SHORTEST_PIECE)
    return made / max(1e-9, float(np.sqrt(np.mean(np.square(made)))))


def add_noise(speech: Sound, noise: Sound, ratio_db: float) -> Sound:
    """Speech in noise.

    Args:
        speech: float32 (S,).
        noise: float32 (S,), root mean square 1.
        ratio_db: of the power of the speech, its pauses left out, to that of the noise.

    Returns:
        float32 (S,), quieter where it would clip.
    """
    mixed = speech + noise * (level(speech) * 10 ** (-ratio_db / 20))
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)
