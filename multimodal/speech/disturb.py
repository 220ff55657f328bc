"""What a room does to speech: noise at a known level, many voices, echo, loudness; and haste."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from multimodal.audio.log_mel import RATE_HZ

__all__ = ["Sound", "add_noise", "babble", "coloured_noise", "echoed", "hastened", "level"]

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


def hastened(rng: np.random.Generator, sound: Sound, how_much: float = 1.0) -> Sound:
    """A sound played faster or slower, at a pace that wavers: tempo, pitch and vocal tract at once.

    Args:
        rng: of the pace.
        sound: float32 (S,).
        how_much: 0 leaves it as it is, 1 changes it as far as it may be.
    """
    pace = 1 + how_much * rng.uniform(-0.16, 0.18)
    samples = int((len(sound) - 1) / pace)
    places = np.arange(samples) * pace
    # Up to three per cent of wavering, with a period of 0.3 to 1.2 s.
    period = rng.uniform(0.3, 1.2) * RATE_HZ
    depth = how_much * rng.uniform(0, 0.03) * period / (2 * np.pi)
    places += depth * np.sin(places * (2 * np.pi / period) + rng.uniform(0, 6.3))
    places = np.clip(places, 0, len(sound) - 1.001)
    low = places.astype(np.int64)
    share = (places - low).astype(np.float32)
    made: Sound = sound[low] * (1 - share) + sound[low + 1] * share
    return made


def echoed(rng: np.random.Generator, sound: Sound) -> Sound:
    """In a room: every sound leaves a tail of noise that falls by 60 dB in 0.1 to 0.7 s.

    Source: Polack's model of late reverberation, "La transmission de l'énergie sonore dans les
    salles" (1988).

    Args:
        rng: of the room.
        sound: float32 (S,).

    Returns:
        float32 (S,).
    """
    falls_s = rng.uniform(0.1, 0.7)
    # What has fallen by 40 dB is not heard.
    at = np.arange(round(falls_s * 2 / 3 * RATE_HZ)) / RATE_HZ
    tail = rng.standard_normal(len(at), np.float32) * (10 ** (-3 * at / falls_s)).astype(np.float32)
    tail[: round(rng.uniform(0.002, 0.012) * RATE_HZ)] = 0
    tail *= np.sqrt(rng.uniform(0.05, 1.0) / np.square(tail).sum())
    tail[0] = 1
    made: Sound = fftconvolve(sound, tail)[: len(sound)].astype(np.float32)
    return made
