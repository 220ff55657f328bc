"""Sound as the power of its bands, as another mouth or microphone would have made it.

How many bands and frames a second there are is up to whoever listens.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

__all__ = ["Bands", "recoloured"]

Bands = NDArray[np.float32]
"""Power of each band, or its logarithm, (frames, bands)."""
# How much formants are blurred is said in bands of which there are so many.
_FINE = 80


def recoloured(rng: np.random.Generator, heard: Bands, how_much: float = 1.0) -> Bands:
    """The same words out of another mouth: vocal tract, timbre and microphone.

    Source: Jaitly and Hinton, "Vocal Tract Length Perturbation" (2013), with warps that are not
    straight lines.

    Args:
        rng: of the mouth.
        heard: common logarithm of the power, (frames, bands).
        how_much: 0 leaves it as it is, 1 changes it as far as it may be.

    Returns:
        Of the same shape.
    """
    count = heard.shape[1]
    made = _moved(rng, heard, how_much)
    if rng.random() < 0.5 * how_much:
        # Formants as broad or as narrow as other synthesisers make them.
        made = gaussian_filter1d(made, rng.uniform(0.3, 1.6) * count / _FINE, axis=1)
    mean = made.mean(0, keepdims=True)
    made = mean + (made - mean) * np.float32(1 + how_much * rng.uniform(-0.28, 0.25))
    return made + np.float32(how_much) * _colour(rng, count)


def _moved(rng: np.random.Generator, heard: Bands, how_much: float) -> Bands:
    count = heard.shape[1]
    bands = np.arange(count) / count
    wave = rng.uniform(0, 0.05) * np.sin(bands * rng.uniform(3, 10) + rng.uniform(0, 6.3))
    moved = bands + how_much * (bands * rng.uniform(-0.18, 0.2) + wave)
    places = np.clip(moved * count, 0, count - 1)
    low = places.astype(np.int64)
    share = (places - low).astype(np.float32)
    made: Bands = heard[:, low] * (1 - share) + heard[:, np.minimum(low + 1, count - 1)] * share
    return made


def _colour(rng: np.random.Generator, count: int) -> Bands:
    """A microphone: up to 10 dB of slope, waves, and sometimes nothing above a frequency."""
    bands = np.arange(count) / count
    colour = rng.uniform(-1, 1) * (bands - 0.5)
    colour += rng.uniform(0, 0.4) * np.sin(bands * rng.uniform(3, 12) + rng.uniform(0, 6.3))
    if rng.random() < 0.1:
        colour[int(rng.uniform(0.6, 1) * count) :] -= 4
    return colour.astype(np.float32)
