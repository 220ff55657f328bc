"""Noise to train in, as bands: people who talk at the same time, white noise, coloured noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from multimodal.audio.log_mel import RATE_HZ
from multimodal.speech.activity import CHUNK
from multimodal.speech.bands import Bands
from multimodal.speech.disturb import Sound, babble, coloured_noise

__all__ = ["Noises"]

_POOL_S: Final = 120
# Babble is laid out of pieces of three people talking; so long that no piece is learned by heart.
_BABBLE_S: Final = 600
_TALKERS: Final = 3
# How often one, two or three such pieces are heard at a time.
_PIECES: Final = (0.2, 0.6, 0.2)
# By how many times 6 dB an octave the noises fall, and how often each is heard.
_FALLS: Final = (0.0, 0.3, 0.6, 1.0)
_SHARES: Final = (0.6, 0.22, 0.06, 0.06, 0.06)


class Noises:
    """Pools of noise of which pieces are cut.

    Args:
        rng: of the pools.
        voices: utterances that the babble is made of, each float32 (S,).
        power: bands of a sound, the power of the whole spectrum last.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        voices: Sequence[Sound],
        power: Callable[[Sound], Bands],
    ) -> None:
        sounds = [babble(rng, voices, _whole(_BABBLE_S), _TALKERS)]
        sounds += [coloured_noise(rng, _whole(_POOL_S), fall) for fall in _FALLS]
        self._pools = [power(sound * np.float32(0.1)) for sound in sounds]

    @property
    def bands(self) -> int:
        """Numbers in a frame."""
        return self._pools[0].shape[1]

    def babble(self, rng: np.random.Generator, frames: int) -> Bands:
        """Three, six or nine people, of mean power 1, (frames, bands + 1)."""
        made = self._piece(rng, 0, frames)
        for _ in range(int(rng.choice(len(_PIECES), p=_PIECES))):
            made = made + self._piece(rng, 0, frames) * np.float32(10 ** rng.uniform(-0.3, 0.3))
        whole: Bands = made / made[:, -1].mean()
        return whole

    def draw(self, rng: np.random.Generator, frames: int) -> Bands:
        """Any of the noises, of mean power 1, (frames, bands + 1)."""
        kind = int(rng.choice(len(_SHARES), p=_SHARES))
        return self._piece(rng, kind, frames) if kind else self.babble(rng, frames)

    def _piece(self, rng: np.random.Generator, kind: int, frames: int) -> Bands:
        pool = self._pools[kind]
        start = int(rng.integers(len(pool) - frames))
        cut: Bands = pool[start : start + frames]
        return cut / cut[:, -1].mean()


def _whole(seconds: int) -> int:
    return seconds * RATE_HZ // CHUNK * CHUNK
