"""Sound as a tensor: reading, writing, resampling, and saying what is wrong with it."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import torchaudio.functional
from numpy.typing import NDArray
from torch import Tensor

from multimodal.atomic import atomic_write_bytes
from multimodal.errors import AudioError

__all__ = ["audio_tensor", "read_audio", "resample", "write_wav"]

# Louder than any rounding or filter overshoot: such numbers are 16-bit samples never divided.
_LOUDEST = 4.0
_CLIPPED_AT = 0.999
_CLIPPED_SHARE = 0.001

_log = logging.getLogger(__name__)


def audio_tensor(audio: Tensor | NDArray[Any]) -> Tensor:
    """Check a waveform and return it as float32 in about [-1, 1].

    Silence is sound like any other. Clipped sound is accepted with a warning.

    Args:
        audio: (samples,) or (B, samples), float in [-1, 1] or int16.

    Returns:
        float32 of the same shape.

    Raises:
        AudioError: wrong rank or dtype, empty, NaN or infinite, or far out of range.
    """
    try:
        tensor = torch.as_tensor(audio)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AudioError(f"Audio must be an array of samples, got {type(audio)}.") from error
    shape = tuple(tensor.shape)
    if tensor.ndim not in (1, 2):
        raise AudioError(f"Audio must have shape (samples,) or (B, samples), got {shape}.")
    if tensor.numel() == 0:
        raise AudioError(f"Audio is empty, shape {shape}: at least one sample is needed.")
    if tensor.ndim == 2 and shape[1] <= 2 < shape[0]:
        raise AudioError(
            f"Audio of shape {shape} looks like (samples, channels): mix it to one channel with "
            "audio.mean(1), or transpose it if it is a batch."
        )
    if tensor.dtype == torch.int16:
        tensor = tensor.float() / 32768
    elif not tensor.is_floating_point():
        raise AudioError(f"Audio must be float in [-1, 1] or int16, got {tensor.dtype}.")
    tensor = tensor.float()
    if not bool(torch.isfinite(tensor).all()):
        raise AudioError("Audio holds NaN or infinite samples: replace them, e.g. by zero.")
    _check_level(tensor)
    return tensor


def _check_level(audio: Tensor) -> None:
    loudest = float(audio.abs().max())
    if loudest > _LOUDEST:
        raise AudioError(
            f"Audio reaches {loudest:.4g}, [-1, 1] was expected: divide 16-bit samples by 32768, "
            "or pass them as int16."
        )
    if loudest < _CLIPPED_AT:
        return
    share = float((audio.abs() >= _CLIPPED_AT).float().mean())
    if share > _CLIPPED_SHARE:
        _log.warning(
            "audio is clipped: %.1f%% of its samples are at full scale; record it more quietly",
            100 * share,
        )


def resample(audio: Tensor | NDArray[Any], from_hz: int, to_hz: int) -> Tensor:
    """Change the sampling rate with a band-limited filter.

    Args:
        audio: (samples,) or (B, samples).
        from_hz: its rate.
        to_hz: the rate wanted.

    Returns:
        float32, ceil(samples · to_hz / from_hz) samples.

    Raises:
        AudioError: malformed audio, or a rate that is not a positive whole number.
    """
    for rate in (from_hz, to_hz):
        if not isinstance(rate, int) or rate <= 0:
            raise AudioError(f"A sampling rate is a positive whole number of hertz, got {rate!r}.")
    tensor = audio_tensor(audio)
    if from_hz == to_hz:
        return tensor
    return torchaudio.functional.resample(tensor, from_hz, to_hz)


def read_audio(path: Path | str, rate_hz: int) -> Tensor:
    """Read a sound file (WAV, FLAC, OGG) as one channel at the rate asked for.

    Several channels are averaged. A file of a lower rate is resampled with a warning, as it stays
    as dull as it was.

    Args:
        path: the file.
        rate_hz: rate of the result.

    Returns:
        float32 (samples,).

    Raises:
        AudioError: no such file, not a sound file, empty, or NaN inside.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(f"There is no sound file {path}. Check the path.")
    try:
        samples, found_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{path} cannot be read as sound ({error}). Convert it, e.g. with "
            f"`ffmpeg -i {path.name} {path.stem}-converted.wav`."
        ) from error
    if found_hz < rate_hz / 2:
        _log.warning(
            "%s is sampled at %d Hz: brought to %d Hz, but it holds nothing above %d Hz",
            path, found_hz, rate_hz, found_hz // 2,
        )  # fmt: skip
    if len(samples) == 0:
        raise AudioError(f"{path} holds no samples.")
    return resample(samples.mean(axis=1), int(found_hz), rate_hz)


def write_wav(path: Path | str, audio: Tensor | NDArray[np.float32], rate_hz: int) -> Path:
    """Write one channel as a 16-bit WAV file, whole or not at all; louder than ±1 is clipped.

    Args:
        path: the file; its folder has to exist.
        audio: (samples,), float in [-1, 1] or int16.
        rate_hz: its rate.

    Returns:
        The path.

    Raises:
        AudioError: malformed audio.
        DiskFullError: the disk is full.
    """
    tensor = audio_tensor(audio)
    if tensor.ndim != 1:
        raise AudioError(f"One waveform (samples,) goes into a file, got {tuple(tensor.shape)}.")
    buffer = io.BytesIO()
    samples = (tensor.clamp(-1, 1) * 32767).round().to(torch.int16).cpu().numpy()
    soundfile.write(buffer, samples, rate_hz, format="WAV", subtype="PCM_16")
    atomic_write_bytes(Path(path), buffer.getvalue(), durable=False)
    return Path(path)
