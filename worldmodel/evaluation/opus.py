"""Opus at the same bitrate, the codec that telephones use: something to compare with."""

from __future__ import annotations

import io

import av
import numpy as np
import torch
from torch import Tensor

from multimodal.audio.waveform import resample

__all__ = ["opus_available", "through_opus"]

_OPUS_HZ = 48_000
# Encoder and container shift the sound by some milliseconds.
_LONGEST_SHIFT_S = 0.05


def opus_available() -> bool:
    """Whether this build of PyAV carries the encoder."""
    return "libopus" in av.codecs_available


def through_opus(audio: Tensor, rate_hz: int, bitrate_bps: int) -> Tensor:
    """Code and decode a sound, and line it up with the original.

    Args:
        audio: float (samples,).
        rate_hz: its rate.
        bitrate_bps: constant bitrate, of the codes without their container.

    Returns:
        float (samples,) at the same rate, shifted to where it correlates best.
    """
    file = io.BytesIO()
    wide = resample(audio, rate_hz, _OPUS_HZ).clamp(-1, 1)
    with av.open(file, "w", format="ogg") as container:
        options = {"vbr": "off", "application": "voip", "frame_duration": "20"}
        stream = container.add_stream("libopus", rate=_OPUS_HZ, layout="mono", options=options)
        stream.bit_rate = bitrate_bps
        samples = (wide * 32767).round().to(torch.int16).numpy()[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = _OPUS_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    file.seek(0)
    with av.open(file, "r") as coded:
        heard = [frame.to_ndarray()[0] for frame in coded.decode(audio=0)]
    decoded = torch.from_numpy(np.concatenate(heard).astype(np.float32))
    return _aligned(resample(decoded, _OPUS_HZ, rate_hz), audio, round(_LONGEST_SHIFT_S * rate_hz))


def _aligned(made: Tensor, true: Tensor, longest: int) -> Tensor:
    """`made`, moved by up to `longest` samples to where it correlates best with `true`."""
    length = len(true)
    made = torch.nn.functional.pad(made, (longest, max(0, length - len(made)) + longest))
    made = made[: length + 2 * longest]
    size = 2 * (length + 2 * longest)
    spectrum = torch.fft.rfft(made, size) * torch.fft.rfft(true, size).conj()
    shift = int(torch.fft.irfft(spectrum, size)[: 2 * longest + 1].argmax())
    return made[shift : shift + length]
