"""Whether somebody is speaking: Silero's voice activity detector, chunk by chunk."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from multimodal.audio.log_mel import RATE_HZ

__all__ = ["CHUNK", "CHUNK_S", "VoiceActivity"]

CHUNK: Final = 512
"""Samples at 16 kHz that the detector judges at a time: 32 ms."""
CHUNK_S: Final = CHUNK / RATE_HZ


class VoiceActivity:
    """Silero VAD as a stream; it remembers what came before.

    Source: Silero Team, "Silero VAD" (2021), https://github.com/snakers4/silero-vad; the weights
    lie in its wheel.
    """

    def __init__(self) -> None:
        threads = torch.get_num_threads()
        from silero_vad import load_silero_vad

        # Importing it sets the whole process to one thread.
        torch.set_num_threads(threads)
        self._model: Any = load_silero_vad()

    def reset(self) -> None:
        """Forget the past."""
        self._model.reset_states()

    @torch.no_grad()
    def push(self, chunk: Tensor) -> float:
        """Judge the next chunk.

        Args:
            chunk: float32 (512,) at 16 kHz.

        Returns:
            Probability of speech.
        """
        return float(self._model(chunk, RATE_HZ))
