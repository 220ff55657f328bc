"""Log-mel features exactly as Whisper's: 80 bands, 100 frames a second, from 16 kHz sound."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

from multimodal.audio.waveform import audio_tensor
from multimodal.errors import AudioError

__all__ = ["BANDS", "ENCODER_STRIDE", "HOP", "RATE_HZ", "WINDOW_S", "log_mel", "log_mel_power"]

RATE_HZ: Final = 16_000
HOP: Final = 160
BANDS: Final = 80
# What Whisper's encoder was trained on; shorter windows need a model trained for them.
WINDOW_S: Final = 30.0
# Whisper's encoder halves the frames: 3,000 become 1,500.
ENCODER_STRIDE: Final = 2
_WINDOW_SAMPLES = 400


def log_mel(
    audio: Tensor | NDArray[Any], rate_hz: int = RATE_HZ, window_s: float | None = WINDOW_S
) -> Tensor:
    """Log-mel features, about in [-1, 1.5].

    Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), as
    in `transformers.WhisperFeatureExtractor`, but batched and on the audio's device.

    Args:
        audio: (B, samples), float in [-1, 1] or int16.
        rate_hz: its rate, which has to be 16 kHz.
        window_s: length that shorter sound is filled up to with silence, a multiple of 20 ms; None
            fills up to the next 20 ms only.

    Returns:
        float32 (B, 80, frames), 100 frames a second: 3,000 for 30 s. The number is even, so that
        the encoder's stride of two divides it.

    Raises:
        AudioError: malformed audio, another rate, or longer than the window.
    """
    if rate_hz != RATE_HZ:
        raise AudioError(
            f"Log-mel features take {RATE_HZ} Hz, got {rate_hz} Hz: bring the sound to its rate "
            f"with multimodal.audio.waveform.resample(audio, {rate_hz}, {RATE_HZ})."
        )
    tensor = audio_tensor(audio)
    if tensor.ndim != 2:
        raise AudioError(f"Expected (B, samples), got {tuple(tensor.shape)}: add a batch axis.")
    tensor = F.pad(tensor, (0, _window_samples(tensor.shape[1], window_s) - tensor.shape[1]))
    logarithm = log_mel_power(tensor)[:, :BANDS].clamp_min(1e-10).log10()
    # Eight powers of ten below the loudest band of each sound nothing more is told apart.
    floor = logarithm.amax((1, 2), keepdim=True) - 8.0
    return (torch.maximum(logarithm, floor) + 4.0) / 4.0


def log_mel_power(audio: Tensor) -> Tensor:
    """What log-mel features are the logarithm of, and the power of the whole spectrum.

    Args:
        audio: float32 (B, samples) at 16 kHz, at least 201 samples.

    Returns:
        float32 (B, 81, frames): 80 bands and the sum over the spectrum.
    """
    window = torch.hann_window(_WINDOW_SAMPLES, device=audio.device)
    spectrum = torch.stft(audio, _WINDOW_SAMPLES, HOP, window=window, return_complex=True)
    power = spectrum[..., :-1].abs().square()
    return torch.cat([_filters().to(audio.device) @ power, power.sum(1, keepdim=True)], 1)


def _window_samples(samples: int, window_s: float | None) -> int:
    step = HOP * ENCODER_STRIDE
    if window_s is None:
        return -(-samples // step) * step
    wanted = round(window_s * RATE_HZ)
    if wanted <= 0 or wanted % step:
        raise AudioError(f"window_s={window_s} is not a positive multiple of {step / RATE_HZ} s.")
    if samples > wanted:
        raise AudioError(
            f"The sound lasts {samples / RATE_HZ:.2f} s, the window {window_s} s: cut it into "
            "pieces, or pass a longer window_s to a model that takes it."
        )
    return wanted


@lru_cache(maxsize=1)
def _filters() -> Tensor:
    """The mel filters (80, 201) of Slaney's toolbox."""
    filters = mel_filter_bank(
        1 + _WINDOW_SAMPLES // 2, BANDS, 0.0, 8000.0, RATE_HZ, norm="slaney", mel_scale="slaney"
    )
    return torch.from_numpy(filters).float().t().contiguous()
