"""A stop word that is suspected at once, and reported when the recogniser's letters agree.

The spotter is so small that it can judge every piece of sound, and takes many a word for "stop".
The recogniser knows letters well and costs ten milliseconds; it looks at the last second only where
the spotter suspects something.
"""

from __future__ import annotations

from itertools import pairwise
from math import exp
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.audio.log_mel import RATE_HZ, log_mel
from multimodal.speech.language import STOP_WORDS
from multimodal.speech.model import BLANK, STEP, SpeechModel, letter_ids
from multimodal.speech.spotter import Spotter

__all__ = ["ConfirmedSpotter", "price_of_ending"]

# Long enough for a slow "stop" and for what bands are relative to.
_WINDOW: Final = round(1.4 * RATE_HZ / STEP) * STEP
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
        self._sound = torch.zeros(_WINDOW)

    @torch.inference_mode()
    def push(self, chunk: Tensor) -> float:
        """Probability that a stop word has just ended; chunk is float32 (512,) at 16 kHz."""
        self._sound = torch.cat([self._sound[len(chunk) :], chunk])
        suspected = self._spotter.push(chunk)
        if suspected < self.suspicion:
            return 0.0
        hidden = self._model.encode(log_mel(self._sound[None], window_s=None))
        likelihood = self._model.frame_logits(hidden)[0].float().log_softmax(-1).numpy()
        price = min(price_of_ending(likelihood, word) / len(word) for word in STOP_WORDS)
        return exp(-price)


def price_of_ending(likelihood: NDArray[np.float32], word: str) -> float:
    """How much less likely letters are that end in a word than the likeliest letters of all.

    Args:
        likelihood: log-probabilities (T, 27) of CTC's frames.
        word: it has to be the last thing that is heard; before it comes anything.

    Returns:
        Nats, 0 where the likeliest letters end in the word.
    """
    ids = letter_ids(word)
    freely = np.concatenate([[0.0], likelihood.max(1).cumsum()])
    # Of each letter: the best way on which it sounds, and on which the blank after it does.
    sounds, rests = np.full((2, len(ids)), _NEVER)
    same = np.array([False, *(a == b for a, b in pairwise(ids))])
    for t, frame in enumerate(likelihood):
        came = np.maximum(np.where(same, _NEVER, np.roll(sounds, 1)), np.roll(rests, 1))
        came[0] = freely[t]
        rests = np.maximum(rests, sounds) + frame[BLANK]
        sounds = np.maximum(sounds, came) + frame[ids]
    return float(freely[-1] - max(sounds[-1], rests[-1]))
