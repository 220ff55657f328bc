"""Speech as the power of its bands, and everything that may happen to it there.

Voices, rooms and noise are varied on bands, ten times faster than on sound: a batch costs less than
the step that learns from it. Powers of speech and noise add up, with phases drawn at random; an
echo is a tail of power, a longer vocal tract moves the bands. How many bands and frames a second
there are is up to whoever listens; the last column is always the power of the whole spectrum.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from multimodal.audio.log_mel import BANDS, HOP, RATE_HZ, log_mel_power
from multimodal.speech.disturb import Sound

__all__ = [
    "FRAMES_PER_S",
    "Bands",
    "as_features",
    "echoed",
    "in_noise",
    "power",
    "resaid",
    "together",
    "volume",
]

Bands = NDArray[np.float32]
"""Power of each band and, last, of the whole spectrum, (frames, bands + 1)."""
FRAMES_PER_S: Final = RATE_HZ // HOP
_LEAST: Final = 1e-10
_PHASES: Final = (0.6, 0.24)


def power(sound: Sound) -> Bands:
    """Bands of a sound of any length at 16 kHz, (frames, 81), 100 frames a second."""
    made: Bands = log_mel_power(torch.from_numpy(sound)[None])[0].numpy().T
    return np.ascontiguousarray(made)


def volume(bands: Bands) -> float:
    """Mean power of the louder half of the frames: of the speech among them."""
    loud = np.sort(bands[:, -1])[len(bands) // 2 :]
    return float(loud.mean()) + _LEAST


def resaid(rng: np.random.Generator, bands: Bands, how_much: float = 1.0) -> Bands:
    """The same words out of another mouth: tempo, vocal tract, timbre and microphone.

    Source: Jaitly and Hinton, "Vocal Tract Length Perturbation" (2013), with warps that are not
    straight lines.

    Args:
        rng: of the mouth.
        bands: what is said.
        how_much: 0 leaves it as it is, 1 changes it as far as it may be.
    """
    made = _hastened(rng, bands, how_much)
    before = made[:, -1].mean()
    heard = np.log10(np.maximum(made[:, :-1], _LEAST))
    heard = _moved(rng, heard, how_much)
    if rng.random() < 0.5 * how_much:
        # Formants as broad or as narrow as other synthesisers make them.
        heard = gaussian_filter1d(heard, rng.uniform(0.3, 1.5) * heard.shape[1] / BANDS, axis=1)
    mean = heard.mean(0, keepdims=True)
    heard = mean + (heard - mean) * (1 + how_much * rng.uniform(-0.25, 0.25))
    made[:, :-1] = 10.0 ** (heard + how_much * _coloured(rng, heard.shape[1]))
    whole = made[:, :-1].sum(1)
    made[:, -1] = whole * (before / max(_LEAST, float(whole.mean())))
    return made


def echoed(rng: np.random.Generator, bands: Bands, per_s: float = FRAMES_PER_S) -> Bands:
    """In a room: every power leaves a tail that falls by 60 dB in 0.1 to 0.7 s.

    Args:
        rng: of the room.
        bands: what is said.
        per_s: frames a second.
    """
    stays = 10 ** (-6 / (rng.uniform(0.1, 0.7) * per_s))
    loud = rng.uniform(0.05, 1.0) * (1 - stays)
    return bands + (loud * lfilter([0, 0, 1], [1, -stays], bands, axis=0)).astype(np.float32)


def in_noise(rng: np.random.Generator, bands: Bands, noise: Bands, ratio_db: float) -> Bands:
    """Speech in noise; the noise has a mean power of 1 and as many frames."""
    return together(rng, bands, noise * np.float32(volume(bands) * 10 ** (-ratio_db / 10)))


def together(
    rng: np.random.Generator,
    one: Bands,
    other: Bands,
    phases: tuple[float, float] = _PHASES,
) -> Bands:
    """Power of two sounds at once: the sum, and what their phases add to it or take from it.

    A band of few frequencies feels the phases most. Left out, speech in noise is smoother than it
    ever is, and a recogniser trained on it is the worse for it below 10 dB.

    Args:
        rng: of the phases.
        one: a sound's bands.
        other: another's, of the same shape.
        phases: standard deviation of the cosine between the two, in the lowest band and in the
            highest: the fewer frequencies a band has, the more. Those of `power`'s bands are as
            measured on speech in babble and in white noise.
    """
    count = one.shape[1] - 1
    drawn = rng.standard_normal((len(one), count + 1), np.float32)
    # Neighbouring bands overlap and share some of it.
    cosine = np.float32(0.87) * drawn[:, 1:] + np.float32(0.5) * drawn[:, :-1]
    cosine *= np.linspace(*phases, count, dtype=np.float32)
    made = one + other
    made[:, :-1] += 2 * np.sqrt(one[:, :-1] * other[:, :-1]) * np.clip(cosine, -1, 1)
    return np.maximum(made, np.float32(_LEAST))


def as_features(bands: Bands) -> Bands:
    """Bands (frames, 81) as `multimodal.audio.log_mel.log_mel` writes them, (80, frames)."""
    logarithm = np.log10(np.maximum(bands[:, :BANDS], _LEAST)).T
    return ((np.maximum(logarithm, logarithm.max() - 8.0) + 4.0) / 4.0).astype(np.float32)


def _hastened(rng: np.random.Generator, bands: Bands, how_much: float) -> Bands:
    """Another tempo, and one that changes on the way."""
    frames = len(bands)
    wave = np.sin(np.arange(frames) / rng.uniform(6, 25) + rng.uniform(0, 6.3))
    pace = (1 + how_much * rng.uniform(-0.18, 0.2)) * (1 + how_much * rng.uniform(0, 0.25) * wave)
    when = np.cumsum(1 / pace)
    places = np.interp(np.arange(int(when[-1])), when, np.arange(frames))
    return _between(bands, places, 0)


def _moved(rng: np.random.Generator, heard: Bands, how_much: float) -> Bands:
    count = heard.shape[1]
    bands = np.arange(count) / count
    wave = rng.uniform(0, 0.03) * np.sin(bands * rng.uniform(3, 10) + rng.uniform(0, 6.3))
    moved = bands + how_much * (bands * rng.uniform(-0.16, 0.18) + wave)
    places = np.clip(moved * count, 0, count - 1)
    return _between(heard, places, 1)


def _between(values: Bands, places: NDArray[np.float64], axis: int) -> Bands:
    low = places.astype(np.int64)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = np.expand_dims((places - low).astype(np.float32), 1 - axis)
    return np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share


def _coloured(rng: np.random.Generator, count: int) -> Bands:
    """A microphone: up to 10 dB of slope, waves, and sometimes nothing above a frequency."""
    bands = np.arange(count) / count
    colour = rng.uniform(-1, 1) * (bands - 0.5)
    colour += rng.uniform(0, 0.4) * np.sin(bands * rng.uniform(3, 12) + rng.uniform(0, 6.3))
    if rng.random() < 0.1:
        colour[int(rng.uniform(0.6, 1) * count) :] -= 4
    return colour.astype(np.float32)
