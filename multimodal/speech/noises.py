"""Noise to train in: people who talk at the same time, white noise, coloured noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from multimodal.audio.log_mel import RATE_HZ
from multimodal.speech.disturb import Sound, babble, coloured_noise

__all__ = ["Noises"]

_POOL_S: Final = 120
# Babble is laid out of pieces of two people talking; so long that no piece is learned by heart.
_BABBLE_S: Final = 900
_TALKERS: Final = 2
# How often one, two, three or four such pieces are heard at a time.
_PIECES: Final = (0.1, 0.25, 0.45, 0.2)
# By how many times 6 dB an octave the noises fall, and how often each is heard, after babble.
_FALLS: Final = (0.0, 0.3, 0.6, 1.0)
_SHARES: Final = (0.64, 0.18, 0.06, 0.06, 0.06)


class Noises:
    """Pools of noise of which pieces are cut.

    Args:
        rng: of the pools.
        voices: utterances that the babble is made of, each float32 (S,).
    """

    def __init__(self, rng: np.random.Generator, voices: Sequence[Sound]) -> None:
        self._babble = babble(rng, voices, _BABBLE_S * RATE_HZ, _TALKERS)
        self._others = [coloured_noise(rng, _POOL_S * RATE_HZ, fall) for fall in _FALLS]

    def babble(self, rng: np.random.Generator, samples: int) -> Sound:
        """Two, four, six or eight people, of root mean square 1, float32 (samples,)."""
        made = _piece(rng, self._babble, samples)
        for _ in range(int(rng.choice(len(_PIECES), p=_PIECES))):
            other = _piece(rng, self._babble, samples)
            made = made + other * np.float32(10 ** rng.uniform(-0.15, 0.15))
        return _normal(made)

    def draw(self, rng: np.random.Generator, samples: int) -> Sound:
        """Any of the noises, of root mean square 1, float32 (samples,)."""
        kind = int(rng.choice(len(_SHARES), p=_SHARES))
        if kind:
            return _normal(_piece(rng, self._others[kind - 1], samples))
        return self.babble(rng, samples)


def _piece(rng: np.random.Generator, pool: Sound, samples: int) -> Sound:
    start = int(rng.integers(len(pool) - samples))
    return pool[start : start + samples]


def _normal(sound: Sound) -> Sound:
    return sound / max(np.float32(1e-9), np.sqrt(np.mean(np.square(sound))))
