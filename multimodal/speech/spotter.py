"""The stop-word spotter: a tiny causal network that judges every 32 ms of sound as it comes in.

It knows nothing of the grammar and waits for nobody: the stop words bypass recogniser and planner.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from multimodal.audio.log_mel import RATE_HZ
from multimodal.speech.activity import CHUNK
from multimodal.speech.bands import Bands
from multimodal.speech.disturb import Sound

__all__ = ["Hearing", "Spotter", "SpotterModel", "spotter_power"]

_BANDS: Final = 40
_HOP: Final = CHUNK // 2
_SPAN: Final = CHUNK
# A chunk is two frames.
_FRAMES_PER_S: Final = RATE_HZ / _HOP
# Chunks between the taps of each block; they see 1.1 s of the past.
_APART: Final = (1, 1, 2, 4, 8)
_PAST: Final = 2 * sum(_APART)
# Quieter than any microphone's own noise.
_LEAST: Final = 1e-6
# Bands are heard relative to their mean over about three seconds.
_FADES: Final = 1 - 1 / (3 * _FRAMES_PER_S)
_FILTERS: Final = mel_filter_bank(
    1 + _SPAN // 2, _BANDS, 60.0, 7600.0, RATE_HZ, norm="slaney", mel_scale="slaney"
).astype(np.float32)
_WINDOW: Final = np.hanning(_SPAN + 1)[:-1].astype(np.float32)


def spotter_power(sound: Sound, before: Sound | None = None) -> Bands:
    """Bands of whole chunks.

    Args:
        sound: float32 (N · 512,) at 16 kHz.
        before: the 256 samples that came before; silence without.

    Returns:
        float32 (2 N, 41): 40 bands and the whole spectrum, 62.5 frames a second.
    """
    start = np.zeros(_SPAN - _HOP, np.float32) if before is None else before
    frames = np.lib.stride_tricks.sliding_window_view(np.concatenate([start, sound]), _SPAN)
    spectrum = np.square(np.abs(np.fft.rfft(frames[::_HOP] * _WINDOW))).astype(np.float32)
    return np.concatenate([spectrum @ _FILTERS, spectrum.sum(1, keepdims=True)], 1)


class Hearing:
    """Bands relative to what they have been lately: loudness and microphones do not count.

    Source: the idea of Wang et al., "Trainable Frontend for Robust and Far-Field Keyword Spotting"
    (2017), with a logarithm.
    """

    def __init__(self) -> None:
        self._mean: NDArray[np.float64] | None = None

    def __call__(self, bands: Bands) -> NDArray[np.float32]:
        """Features (N, 80) of the next N chunks from their bands (2 N, 41)."""
        heard = np.log(bands[:, :-1] + _LEAST)
        if self._mean is None:
            self._mean = heard[0].astype(np.float64)
        means, last = lfilter(
            [1 - _FADES], [1, -_FADES], heard, axis=0, zi=_FADES * self._mean[None]
        )
        self._mean = last[0] / _FADES
        made: NDArray[np.float32] = (0.3 * (heard - means)).astype(np.float32)
        return made.reshape(len(bands) // 2, -1)


class _Block(nn.Module):
    """Three chunks, `apart` from one another and none of the future, to one."""

    def __init__(self, width: int, apart: int) -> None:
        super().__init__()
        self.apart = apart
        self.norm = nn.LayerNorm(width)
        self.gather = nn.Linear(3 * width, width)
        self.give = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        count = hidden.shape[1]
        padded = F.pad(self.norm(hidden), (0, 0, 2 * self.apart, 0))
        past = [padded[:, start : start + count] for start in range(0, 3 * self.apart, self.apart)]
        return hidden + self.give(F.gelu(self.gather(torch.cat(past, 2))))


class SpotterModel(ModelMixin, ConfigMixin):
    """Time-delay blocks over log-mel bands; one judgement for each chunk of 512 samples.

    Args:
        width: channels.
        threshold: confidence from which on a stop word counts as heard; without a suspicion this is
            the network's probability.
        suspicion: probability from which on a recogniser is asked, see
            `multimodal.speech.confirmed.confidence`; None for a spotter that decides alone.
    """

    @register_to_config
    def __init__(
        self, width: int = 96, threshold: float = 0.5, suspicion: float | None = None
    ) -> None:
        super().__init__()
        self.bands = nn.Linear(2 * _BANDS, width)
        self.blocks = nn.ModuleList(_Block(width, apart) for apart in _APART)
        self.judge = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Judge streams.

        Args:
            features: float (B, N, 80), of `Hearing`.

        Returns:
            Logits (B, N) of a stop word that has just ended.
        """
        hidden = self.bands(features)
        for block in self.blocks:
            hidden = block(hidden)
        return self.judge(hidden)[..., 0]


class Spotter:
    """A trained `SpotterModel` as a stream; see `multimodal.speech.StopSpotter`.

    Args:
        model: the network.
    """

    def __init__(self, model: SpotterModel) -> None:
        self._model = model.eval().requires_grad_(False)
        self.reset()

    @property
    def threshold(self) -> float:
        """The probability from which on it is a stop word."""
        return float(self._model.config.threshold)

    def reset(self) -> None:
        """Forget the past."""
        self._before = np.zeros(_SPAN - _HOP, np.float32)
        self._hearing = Hearing()
        self._past = torch.zeros(0, 2 * _BANDS)

    @torch.inference_mode()
    def push(self, chunk: Tensor) -> float:
        """Probability that a stop word has just ended; chunk is float32 (512,) at 16 kHz."""
        sound: Sound = chunk.float().numpy()
        fresh = self._hearing(spotter_power(sound, self._before))
        self._before = sound[-(_SPAN - _HOP) :]
        self._past = torch.cat([self._past, torch.from_numpy(fresh)])[-_PAST - 1 :]
        return float(self._model(self._past[None])[0, -1].sigmoid())
