"""A stop word that is suspected at once, and reported when the recogniser's letters agree.

The spotter is so small that it can judge every piece of sound, and takes many a word for "stop".
The recogniser knows letters well and costs ten milliseconds; it looks at the last second only where
the spotter suspects something.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.audio.log_mel import RATE_HZ, log_mel
from multimodal.speech.language import STOP_WORDS
from multimodal.speech.model import BLANK, STEP, SpeechModel, letter_ids
from multimodal.speech.spotter import Spotter

__all__ = ["WINDOW", "ConfirmedSpotter", "agreement", "price_of_ending"]

WINDOW: Final = round(1.4 * RATE_HZ / STEP) * STEP
"""Samples that the recogniser looks at: long enough for a slow "stop" and for what bands are
relative to."""
_NEVER: Final = -1e30


class ConfirmedSpotter:
    """A spotter and a recogniser as one; see `multimodal.speech.StopSpotter`.

    Args:
        spotter: suspects.
        model: confirms.
        suspicion: the spotter's probability from which on the recogniser is asked.
        threshold: of what `push` returns.
    """

    def __init__(
        self, spotter: Spotter, model: SpeechModel, suspicion: float, threshold: float
    ) -> None:
        self._spotter, self._model = spotter, model
        self.suspicion, self._threshold = suspicion, threshold
        self.reset()

    @property
    def threshold(self) -> float:
        """The probability from which on it is a stop word."""
        return self._threshold

    def reset(self) -> None:
        """Forget the past."""
        self._spotter.reset()
        self._sound = torch.zeros(WINDOW)

    @torch.inference_mode()
    def push(self, chunk: Tensor) -> float:
        """Probability that a stop word has just ended; chunk is float32 (512,) at 16 kHz."""
        self._sound = torch.cat([self._sound[len(chunk) :], chunk])
        suspected = self._spotter.push(chunk)
        if suspected < self.suspicion:
            return 0.0
        return float(agreement(self._model, self._sound[None])[0])


def agreement(model: SpeechModel, windows: Tensor) -> NDArray[np.float64]:
    """How readily letters end in a stop word: 1 where the likeliest ones do, falling towards 0.

    Args:
        model: hears the letters.
        windows: float32 (B, WINDOW) at 16 kHz.

    Returns:
        (B,).
    """
    hidden = model.encode(log_mel(windows, window_s=None))
    likelihood = model.frame_logits(hidden).float().log_softmax(-1).numpy()
    prices = [price_of_ending(likelihood, word) / len(word) for word in STOP_WORDS]
    made: NDArray[np.float64] = np.exp(-np.min(prices, axis=0))
    return made


def price_of_ending(likelihood: NDArray[np.float32], word: str) -> NDArray[np.float64]:
    """How much less likely letters are that end in a word than the likeliest letters of all.

    Args:
        likelihood: log-probabilities (..., T, 27) of CTC's frames.
        word: it has to be the last thing that is heard; before it comes anything.

    Returns:
        Nats (...), 0 where the likeliest letters end in the word.
    """
    ids = letter_ids(word)
    # Time first.
    frames = np.moveaxis(likelihood, -2, 0).astype(np.float64)
    start = np.zeros((1, *frames.shape[1:-1]))
    freely = np.concatenate([start, frames.max(-1).cumsum(0)])
    # Of each letter: the best way on which it sounds, and on which the blank after it does.
    sounds = np.full((*frames.shape[1:-1], len(ids)), _NEVER)
    rests = sounds.copy()
    same = np.array([False, *(a == b for a, b in pairwise(ids))])
    for t, frame in enumerate(frames):
        came = np.maximum(np.where(same, _NEVER, np.roll(sounds, 1, -1)), np.roll(rests, 1, -1))
        came[..., 0] = freely[t]
        rests = np.maximum(rests, sounds) + frame[..., BLANK, None]
        sounds = np.maximum(sounds, came) + frame[..., ids]
    price: NDArray[np.float64] = freely[-1] - np.maximum(sounds[..., -1], rests[..., -1])
    return price
