"""Speech as 25 integers a second, made to be understood: the nearest of a few hundred sounds.

The codec's codes keep a waveform, voice and all; these keep which sound is being made. Each is the
nearest centre to 40 ms of log-mel bands whose mean over the utterance, most of what a voice and a
microphone add, is taken away (as k-means units of HuBERT, arXiv 2106.07447, but of plain features).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from torch import Tensor, nn

from multimodal.audio.log_mel import log_mel
from multimodal.errors import AudioError

__all__ = ["SpeechUnits", "unit_features"]

_BANDS = 20
_STACKED = 4
UNITS_PER_S = 100 / _STACKED


def unit_features(audio: Tensor | NDArray[Any]) -> Tensor:
    """Features (T, 80) of a sound (samples,) at 16 kHz: 4 frames of 20 bands each 40 ms.

    Raises:
        AudioError: malformed audio.
    """
    bands = log_mel(torch.as_tensor(audio)[None], window_s=None)[0]
    coarse = bands.unflatten(0, (_BANDS, -1)).mean(1)
    coarse = coarse - coarse.mean(-1, keepdim=True)
    frames = coarse.shape[1] // _STACKED * _STACKED
    if not frames:
        raise AudioError("the sound is shorter than 40 ms, the length of a unit.")
    return coarse[:, :frames].T.unflatten(0, (-1, _STACKED)).flatten(1)


class SpeechUnits(ModelMixin, ConfigMixin):
    """Centres of log-mel features.

    Args:
        units: K, how many centres.
    """

    centres: Tensor

    @register_to_config
    def __init__(self, units: int = 256) -> None:
        super().__init__()
        # A parameter, so that it is kept with the weights; nothing trains it by gradient.
        self.centres = nn.Parameter(torch.zeros(units, _BANDS * _STACKED), requires_grad=False)

    @torch.no_grad()
    def learn(self, features: Tensor, seed: int = 0) -> None:
        """Find the centres by k-means.

        Args:
            features: (X, 80), many more than there are units.
            seed: of the start.

        Raises:
            AudioError: fewer features than units.
        """
        if len(features) < len(self.centres):
            raise AudioError(
                f"{len(features)} features make no {len(self.centres)} units; give more speech."
            )
        rng = np.random.default_rng(seed)
        found, _ = kmeans2(
            features.double().numpy(), len(self.centres), iter=12, minit="points", rng=rng
        )
        self.centres.copy_(torch.from_numpy(found))

    @torch.no_grad()
    def encode(self, audio: Tensor | NDArray[Any]) -> NDArray[np.int64]:
        """A sound (samples,) at 16 kHz as units int64 (T, 1), 25 a second.

        Raises:
            AudioError: malformed audio, or shorter than a unit.
        """
        nearest = torch.cdist(unit_features(audio), self.centres.float()).argmin(-1)
        ids: NDArray[np.int64] = nearest[:, None].numpy()
        return ids
