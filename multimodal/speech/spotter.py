"""The stop-word spotter: a tiny recurrent network that judges every 32 ms of sound as it comes in.

It knows nothing of the grammar and waits for nobody: the stop words bypass recogniser and planner.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from multimodal.audio.log_mel import RATE_HZ
from multimodal.speech.activity import CHUNK

__all__ = ["Spotter", "SpotterModel"]

_BANDS: Final = 40
_HOP: Final = CHUNK // 2
_SPAN: Final = CHUNK
_PAST: Final = 4


class SpotterModel(ModelMixin, ConfigMixin):
    """Log-mel bands, a causal convolution and a GRU; one judgement for each chunk of 512 samples.

    Args:
        width: channels.
        threshold: probability from which on a stop word counts as heard.
    """

    @register_to_config
    def __init__(self, width: int = 96, threshold: float = 0.5) -> None:
        super().__init__()
        self.bands = nn.Linear(2 * _BANDS, width)
        self.past = nn.Conv1d(width, width, _PAST + 1)
        self.memory = nn.GRU(width, width, batch_first=True)
        self.judge = nn.Linear(width, 1)
        filters = mel_filter_bank(
            1 + _SPAN // 2, _BANDS, 60.0, 7600.0, RATE_HZ, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(_SPAN), persistent=False)

    def features(self, sound: Tensor, before: Tensor) -> Tensor:
        """Bands of every chunk.

        Args:
            sound: float32 (B, N · 512) at 16 kHz.
            before: the 256 samples that came before, (B, 256).

        Returns:
            (B, N, 80): two moments of 40 bands.
        """
        frames = torch.cat([before, sound], 1).unfold(1, _SPAN, _HOP) * self.window
        power = torch.fft.rfft(frames).abs().square()
        bands = ((power @ self.filters) + 1e-7).log()
        return bands.unflatten(1, (-1, 2)).flatten(2) * 0.25 + 1.5

    def forward(
        self, sound: Tensor, state: tuple[Tensor, Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Judge a stream, or the next piece of one.

        Args:
            sound: float32 (B, N · 512) at 16 kHz.
            state: what the last call returned; None at the beginning.

        Returns:
            Logits (B, N) of a stop word that has just ended, and the state.
        """
        if state is None:
            batch, width = len(sound), self.config.width
            state = (
                sound.new_zeros(batch, _SPAN - _HOP),
                sound.new_zeros(batch, _PAST, width),
                sound.new_zeros(1, batch, width),
            )
        before, past, memory = state
        with torch.autocast(sound.device.type, enabled=False):
            features = self.features(sound.float(), before)
        hidden = torch.cat([past, F.gelu(self.bands(features))], 1)
        moved = F.gelu(self.past(hidden.transpose(1, 2)).transpose(1, 2))
        remembered, memory = self.memory(moved, memory)
        logits = self.judge(remembered)[..., 0]
        return logits, (sound[:, -(_SPAN - _HOP) :], hidden[:, -_PAST:], memory)


class Spotter:
    """A trained `SpotterModel` as a stream; see `multimodal.speech.StopSpotter`.

    Args:
        model: the network.
    """

    def __init__(self, model: SpotterModel) -> None:
        self._model = model.eval().requires_grad_(False)
        self._state: tuple[Tensor, Tensor, Tensor] | None = None

    @property
    def threshold(self) -> float:
        """The probability from which on it is a stop word."""
        return float(self._model.config.threshold)

    def reset(self) -> None:
        """Forget the past."""
        self._state = None

    @torch.inference_mode()
    def push(self, chunk: Tensor) -> float:
        """Probability that a stop word has just ended; chunk is float32 (512,) at 16 kHz."""
        logits, self._state = self._model(chunk[None], self._state)
        return float(logits[0, -1].sigmoid())
