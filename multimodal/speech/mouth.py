"""The spoken reply: a text said by an engine of the system, or in writing where there is none."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from multimodal.audio.engines import ENGINES, Voice, available, speak
from multimodal.audio.waveform import write_wav

__all__ = ["Mouth", "Spoken"]

# The voice's own name, and the engine in the order of preference.
_VOICES = (Voice("espeak-ng", "en-us+f2"), Voice("flite", "slt"), Voice("festival", "ked_diphone"))

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spoken:
    """A reply.

    Attributes:
        text: what is said.
        waveform: float32 (S,) in [-1, 1]; None where no engine is installed.
        rate_hz: its rate; 0 without a waveform.
    """

    text: str
    waveform: Tensor | None
    rate_hz: int

    def write(self, path: Path | str) -> Path | None:
        """Write the sound as a 16-bit WAV file.

        Returns:
            The path; None where there is no sound.

        Raises:
            DiskFullError: the disk is full.
        """
        if self.waveform is None:
            return None
        return write_wav(path, self.waveform, self.rate_hz)


class Mouth:
    """Says replies with the first engine that is installed.

    Args:
        voice: who speaks; None takes the first of espeak-ng, flite and festival that is there.
    """

    def __init__(self, voice: Voice | None = None) -> None:
        found = voice or next((each for each in _VOICES if available(each.engine)), None)
        self.voice = found
        if found is None:
            _log.warning(
                "no speech engine is installed, so replies are text only: `%s` gives them a voice",
                ENGINES["espeak-ng"].install,
            )

    def say(self, text: str) -> Spoken:
        """Say a text.

        Args:
            text: the reply; one without a letter or digit stays silent.

        Returns:
            The text with its sound, or without where there is no engine.

        Raises:
            AudioError: the engine failed or does not know the voice.
        """
        if self.voice is None or not any(letter.isalnum() for letter in text):
            return Spoken(text, None, 0)
        waveform, rate_hz = speak(text, self.voice)
        return Spoken(text, waveform, rate_hz)
