"""What a recogniser is: a waveform goes in, words and how sure they are come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.audio.log_mel import RATE_HZ
from multimodal.audio.waveform import audio_tensor, resample
from multimodal.errors import AudioError

__all__ = ["LONGEST_S", "Recogniser", "Transcript", "speech_waveform"]

LONGEST_S: Final = 600.0
"""Longer sound is refused: a command takes seconds, and a recording of hours is a mistake."""


@dataclass(frozen=True)
class Transcript:
    """What was understood.

    Attributes:
        text: lower-case words with single spaces; empty where nothing was understood.
        confidence: 0 to 1, how sure the recogniser is of `text`.
        heard: what it would write without a grammar, kept also where `text` is empty; it may hold
            words that do not exist. Empty where there was silence.
        took_s: seconds that the recognition took.
    """

    text: str
    confidence: float
    heard: str = ""
    took_s: float = 0.0


@runtime_checkable
class Recogniser(Protocol):
    """Anything that turns speech into text."""

    def transcribe(self, waveform: Tensor | NDArray[Any], rate_hz: int) -> Transcript:
        """Say what is said.

        Args:
            waveform: float32 (S,) in [-1, 1], or int16.
            rate_hz: its rate; other rates than the recogniser's own are resampled.

        Returns:
            The transcript; its text is empty for silence, noise, and speech that has nothing to
            do with the table where the recogniser has a grammar.

        Raises:
            AudioError: malformed, NaN, or longer than the recogniser takes.
        """
        ...


def speech_waveform(
    waveform: Tensor | NDArray[Any], rate_hz: int, longest_s: float = LONGEST_S
) -> Tensor:
    """Check a waveform and bring it to 16 kHz.

    Args:
        waveform: (S,), float in [-1, 1] or int16.
        rate_hz: its rate.
        longest_s: what is refused, in seconds.

    Returns:
        float32 (S,) at 16 kHz.

    Raises:
        AudioError: malformed, NaN, empty, of several channels, or too long.
    """
    if not isinstance(rate_hz, int) or not 4_000 <= rate_hz <= 400_000:
        raise AudioError(f"Speech is sampled at 4,000 to 400,000 Hz, got {rate_hz!r}.")
    shape = tuple(torch.as_tensor(waveform).shape)
    if len(shape) != 1:
        raise AudioError(f"Expected one waveform (samples,), got {shape}: mix it to one channel.")
    if shape[0] > longest_s * rate_hz:
        raise AudioError(
            f"The sound lasts {shape[0] / rate_hz:,.0f} s and at most {longest_s:g} s are taken: "
            "cut out the part with the command."
        )
    return resample(audio_tensor(waveform), rate_hz, RATE_HZ)
