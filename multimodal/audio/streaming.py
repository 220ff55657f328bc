"""Coding sound while it comes in: the same codes and samples as in one piece, hop by hop."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.audio.causal import Memory
from multimodal.audio.codec import HOP, AudioCodec
from multimodal.audio.waveform import audio_tensor
from multimodal.errors import AudioError

__all__ = ["StreamDecoder", "StreamEncoder"]


class StreamEncoder:
    """Takes sound in pieces of any length and gives the codes of every hop that is complete.

    Args:
        codec: the codec, in evaluation mode.
    """

    def __init__(self, codec: AudioCodec) -> None:
        self._codec = codec
        self._memory = Memory()
        self._rest: Tensor | None = None

    @torch.no_grad()
    def push(self, audio: Tensor | NDArray[Any]) -> Tensor:
        """Take the next samples.

        Args:
            audio: (B, samples) at 24 kHz; B stays the same over the stream.

        Returns:
            ids: int64 (B, T, levels), T being the hops completed by these samples, 0 or more.

        Raises:
            AudioError: malformed audio, or another batch size than before.
        """
        samples = audio_tensor(audio).to(self._codec.device)
        if samples.ndim != 2:
            raise AudioError(f"Expected (B, samples), got {tuple(samples.shape)}.")
        if self._rest is not None:
            if len(self._rest) != len(samples):
                raise AudioError(
                    f"This stream has {len(self._rest)} channels of sound, got {len(samples)}: "
                    "start a new StreamEncoder for another batch."
                )
            samples = torch.cat([self._rest, samples], 1)
        whole = samples.shape[1] // HOP * HOP
        self._rest = samples[:, whole:]
        if whole == 0:
            return self._nothing(len(samples))
        hops = self._codec.hops(samples[:, :whole]).to(self._codec.dtype)
        return self._codec.quantize(self._codec.encoder(hops, self._memory))

    def finish(self) -> Tensor:
        """End the stream: the codes of the last, unfinished hop, filled with silence.

        Returns:
            ids: int64 (B, 0 or 1, levels).

        Raises:
            AudioError: nothing was pushed yet.
        """
        if self._rest is None:
            raise AudioError("The stream is empty: push some sound before finishing it.")
        batch, waiting = self._rest.shape
        if waiting == 0:
            return self._nothing(batch)
        return self.push(self._rest.new_zeros(batch, HOP - waiting))

    def _nothing(self, batch: int) -> Tensor:
        shape = (batch, 0, self._codec.config.levels)
        return torch.zeros(shape, dtype=torch.long, device=self._codec.device)


class StreamDecoder:
    """Takes codes as they come and gives the sound of each hop at once.

    Args:
        codec: the codec, in evaluation mode.
        levels: levels of the codes to use; all by default.
    """

    def __init__(self, codec: AudioCodec, levels: int | None = None) -> None:
        self._codec = codec
        self._levels = levels
        self._memory = Memory()

    @torch.no_grad()
    def push(self, ids: Tensor) -> Tensor:
        """Take the next codes.

        Args:
            ids: int64 (B, T, q).

        Returns:
            audio: float (B, T · 320).

        Raises:
            AudioError: malformed ids.
        """
        if ids.ndim == 3 and ids.shape[1] == 0:
            return torch.zeros(len(ids), 0, device=self._codec.device)
        latents = self._codec.latents_of(ids, self._levels)
        return self._codec.decode_hops(latents, self._memory).flatten(1)
