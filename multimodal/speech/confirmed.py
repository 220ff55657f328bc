"""A stop word that is suspected at once, and reported when the recogniser's letters agree.

The spotter is so small that it can judge every piece of sound. It tells words from murmur, and
takes many a word for "stop". The recogniser knows letters well and costs ten milliseconds; it looks
at the last second only where the spotter has lately suspected something. In murmur its letters
flicker: their mean over three pieces counts, and the surer the spotter, the less surely they have
to end in the word.
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

__all__ = ["WINDOW", "ConfirmedSpotter", "agreement", "asked", "confidence", "price_of_ending"]

WINDOW: Final = round(1.4 * RATE_HZ / STEP) * STEP
"""Samples that the recogniser looks at: long enough for a slow "stop" and for what bands are
relative to."""
_NEVER: Final = -1e30
# For so many pieces, this one and those before it, a suspicion counts, and the letters' mean is
# taken. Chosen of two to five pieces and weights of 0.05 to 0.5, with ears that had heard nothing
# of RHVoice on the stop words of its ten voices, at one false stop in ten minutes. A greater weight
# catches a hundredth more there, and takes half of all words like "top" for a stop instead of two
# fifths.
_SUSPECTED: Final = 6
_AGREED: Final = 3
# How much the spotter's odds count beside the recogniser's letters, and from where on no more.
_WEIGHT: Final = 0.15
_SURE: Final = 1000.0
# Of a mean of logarithms; no single piece shall forbid the word.
_LEAST: Final = 1e-4


class ConfirmedSpotter:
    """A spotter and a recogniser as one; see `multimodal.speech.StopSpotter`.

    Args:
        spotter: suspects.
        model: confirms.
        suspicion: the spotter's probability from which on the recogniser is asked.
        threshold: of what `push` returns, see `confidence`.
    """

    def __init__(
        self, spotter: Spotter, model: SpeechModel, suspicion: float, threshold: float
    ) -> None:
        self._spotter, self._model = spotter, model
        self.suspicion, self._threshold = suspicion, threshold
        self.reset()

    @property
    def threshold(self) -> float:
        """The confidence from which on it is a stop word."""
        return self._threshold

    def reset(self) -> None:
        """Forget the past."""
        self._spotter.reset()
        self._sound = torch.zeros(WINDOW)
        self._suspected = np.zeros(_SUSPECTED)
        self._agreed = np.zeros(_SUSPECTED)

    @torch.inference_mode()
    def push(self, chunk: Tensor) -> float:
        """Confidence that a stop word has just ended; chunk is float32 (512,) at 16 kHz."""
        self._sound = torch.cat([self._sound[len(chunk) :], chunk])
        self._suspected = np.append(self._suspected[1:], self._spotter.push(chunk))
        agreed = 0.0
        if asked(self._suspected, self.suspicion)[-1]:
            agreed = float(agreement(self._model, self._sound[None])[0])
        self._agreed = np.append(self._agreed[1:], agreed)
        return float(confidence(self._suspected, self._agreed)[-1])


def asked(suspected: NDArray[np.floating], suspicion: float) -> NDArray[np.bool_]:
    """Whether the recogniser is asked at each piece: lately somebody may have said a stop word.

    Args:
        suspected: the spotter's probability of each piece, (N,).
        suspicion: from which on it asks.

    Returns:
        (N,).
    """
    made: NDArray[np.bool_] = _lately(suspected, _SUSPECTED).max(1) >= suspicion
    return made


def confidence(
    suspected: NDArray[np.floating], agreed: NDArray[np.floating]
) -> NDArray[np.float64]:
    """How sure spotter and recogniser are together that a stop word has just ended.

    Args:
        suspected: the spotter's probability of each piece, (N,).
        agreed: the recogniser's `agreement`, (N,), 0 where it was not asked.

    Returns:
        (N,), 1 where neither has a doubt: the geometric mean of the latest agreements, times the
        spotter's odds to a small power.
    """
    most = _lately(suspected, _SUSPECTED).max(1)
    odds = np.minimum(most / np.maximum(1 - most, 1 / _SURE), _SURE) / _SURE
    mean = np.exp(np.log(np.maximum(_lately(agreed, _AGREED), _LEAST)).mean(1))
    made: NDArray[np.float64] = mean * odds**_WEIGHT
    return made


def _lately(values: NDArray[np.floating], pieces: int) -> NDArray[np.float64]:
    """Each value with those before it, (N, pieces); before the first there was nothing."""
    padded = np.concatenate([np.zeros(pieces - 1), values])
    return np.lib.stride_tricks.sliding_window_view(padded, pieces)


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
