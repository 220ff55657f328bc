"""The audio codec: 24 kHz sound to 75 small groups of codes a second and back, as it comes in.

Nearly all work is done once per hop of 320 samples, not per sample: a hop enters by one matrix
product, causal blocks look at its past, and another matrix product writes the hop out. Only a thin
tail runs at eight times that rate, to round off the borders between hops. No layer sees the future,
so that a hop can be coded and heard as soon as its last sample is there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from numpy.typing import NDArray
from torch import Tensor, nn

from multimodal.audio.causal import CausalBlock, CausalLinear, Memory, past_joined
from multimodal.audio.rvq import Quantized, ResidualQuantizer
from multimodal.audio.waveform import audio_tensor
from multimodal.errors import AudioError

__all__ = ["HOP", "RATE_HZ", "AudioCodec"]

RATE_HZ = 24_000
HOP = 320
_SUBFRAMES = 8
# Hops before the present one that the first layer sees as samples.
_PAST_HOPS = 2
# Below this a hop is silence: -80 dB of full scale.
_QUIET = 1e-4
_LOG_GAIN_LIMIT = 6.0


def _cosines(channels: int) -> Tensor:
    """The first `channels` rows of the orthonormal cosine transform of a hop: (channels, 320)."""
    position = torch.arange(HOP, dtype=torch.float64) + 0.5
    order = torch.arange(channels, dtype=torch.float64)[:, None]
    rows = torch.cos(torch.pi / HOP * order * position) * (2 / HOP) ** 0.5
    rows[0] /= 2**0.5
    return rows.float()


def _rms(x_BTC: Tensor) -> Tensor:
    return (x_BTC.square().mean(-1, keepdim=True) + _QUIET**2).sqrt()


class _Encoder(nn.Module):
    """Samples to latents: a transform of the hop, corrected by what the blocks see in its past.

    A latent's length is the square root of the hop's loudness, so that quiet speech gets its share
    of the codes.
    """

    def __init__(self, width: int, depth: int, channels: int) -> None:
        super().__init__()
        self.transform = nn.Linear(HOP, channels, bias=False)
        # Started from the cosine transform, the codec fits waveforms from the first step on;
        # started from noise, it first learns to be silent.
        self.transform.weight = nn.Parameter(_cosines(channels))
        self.enter = CausalLinear(HOP, width, _PAST_HOPS)
        self.loudness = nn.Linear(1, width)
        self.blocks = nn.ModuleList(CausalBlock(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6, bias=False)
        self.leave = nn.Linear(width, channels)
        nn.init.zeros_(self.leave.weight)

    def forward(self, hops_BTS: Tensor, memory: Memory | None = None) -> Tensor:
        direct = self.transform(hops_BTS).float()
        level = self._level(hops_BTS, memory)
        # The first layer is linear but for its bias: dividing after it spares the samples.
        bias = self.enter.linear.bias
        x_BTC = (self.enter(hops_BTS, memory) - bias) / level + bias
        x_BTC = x_BTC + self.loudness(level.log() / 3 + 1)
        for block in self.blocks:
            x_BTC = block(x_BTC, memory)
        correction = self.leave(self.norm(x_BTC)).float()
        return direct * _rms(direct).rsqrt() + correction * level.sqrt()

    def _level(self, hops_BTS: Tensor, memory: Memory | None) -> Tensor:
        """Root mean square of the hops that the first layer sees: (B, T, 1)."""
        power = hops_BTS.square().mean(-1, keepdim=True)
        joined = past_joined(self, power, _PAST_HOPS, memory)
        windows = joined.unfold(1, _PAST_HOPS + 1, 1).mean(-1)
        return (windows + _QUIET**2).sqrt()


class _Decoder(nn.Module):
    """Latents to samples: a transform of the latent, corrected by what the blocks make of it."""

    def __init__(self, channels: int, width: int, depth: int, tail: int) -> None:
        super().__init__()
        self.transform = nn.Linear(channels, HOP, bias=False)
        self.transform.weight = nn.Parameter(_cosines(channels).t().contiguous())
        self.enter = CausalLinear(channels, width, 2)
        self.blocks = nn.ModuleList(CausalBlock(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6, bias=False)
        self.gain = nn.Linear(width, 1)
        self.spread = nn.Linear(width, _SUBFRAMES * tail)
        self.tail = nn.ModuleList(CausalBlock(tail, expansion=2) for _ in range(2))
        self.leave = CausalLinear(tail, HOP // _SUBFRAMES, 1)
        nn.init.zeros_(self.leave.linear.weight)
        nn.init.zeros_(self.leave.linear.bias)

    def forward(self, latents_BTC: Tensor, memory: Memory | None = None) -> Tensor:
        x_BTC = self.enter(latents_BTC, memory)
        for block in self.blocks:
            x_BTC = block(x_BTC, memory)
        x_BTC = self.norm(x_BTC)
        gain = self.gain(x_BTC).float().clamp(-_LOG_GAIN_LIMIT, _LOG_GAIN_LIMIT).exp()
        fine = self.spread(x_BTC).unflatten(-1, (_SUBFRAMES, -1)).flatten(1, 2)
        for block in self.tail:
            fine = block(fine, memory)
        correction = self.leave(fine, memory).float().unflatten(1, (-1, _SUBFRAMES)).flatten(2)
        direct = self.transform(latents_BTC).float()
        # Undoes the square root that the encoder took of the loudness.
        return (direct + correction * gain) * _rms(latents_BTC.float())


class AudioCodec(ModelMixin, ConfigMixin):
    """Causal encoder, residual vector quantiser, causal decoder: 750 bits a second for each level.

    Eight levels of 1,024 codes are 6 kbit/s. Every smaller number of levels works too, as training
    drops levels at random.

    Args:
        channels: C, numbers in each latent.
        encoder_width: channels of the encoder.
        encoder_depth: its blocks.
        decoder_width: channels of the decoder.
        decoder_depth: its blocks.
        tail: channels of the decoder's last stage, at 600 frames a second.
        levels: codebooks.
        codes: entries of each codebook.
    """

    @register_to_config
    def __init__(
        self,
        channels: int = 64,
        encoder_width: int = 192,
        encoder_depth: int = 2,
        decoder_width: int = 256,
        decoder_depth: int = 5,
        tail: int = 64,
        levels: int = 8,
        codes: int = 1024,
    ) -> None:
        super().__init__()
        self.encoder = _Encoder(encoder_width, encoder_depth, channels)
        self.quantizer = ResidualQuantizer(channels, levels, codes)
        self.decoder = _Decoder(channels, decoder_width, decoder_depth, tail)

    @property
    def frame_rate_hz(self) -> float:
        """Groups of codes a second."""
        return RATE_HZ / HOP

    def bitrate_bps(self, levels: int | None = None) -> float:
        """Bits a second of the first levels; of all of them by default."""
        used = self.config.levels if levels is None else levels
        return float(self.frame_rate_hz * used * np.log2(self.config.codes))

    def encode(self, audio: Tensor | NDArray[Any], rate_hz: int = RATE_HZ) -> Tensor:
        """Sound to latents.

        Args:
            audio: (B, samples), float in [-1, 1] or int16.
            rate_hz: its rate, which has to be 24 kHz.

        Returns:
            latents: float (B, T, C), T = ceil(samples / 320); the last hop is filled with silence.

        Raises:
            AudioError: malformed audio, or another rate.
        """
        if rate_hz != RATE_HZ:
            raise AudioError(
                f"The codec takes {RATE_HZ} Hz, got {rate_hz} Hz: bring the sound to its rate with "
                f"multimodal.audio.waveform.resample(audio, {rate_hz}, {RATE_HZ})."
            )
        tensor = audio_tensor(audio)
        if tensor.ndim != 2:
            raise AudioError(f"Expected (B, samples), got {tuple(tensor.shape)}: add a batch axis.")
        return self.encoder(self.hops(tensor.to(self.device)).to(self.dtype))

    def hops(self, audio: Tensor) -> Tensor:
        """Samples (B, samples) as hops (B, T, 320), the last one filled with zeros."""
        missing = -audio.shape[1] % HOP
        return F.pad(audio, (0, missing)).unflatten(1, (-1, HOP))

    def quantize(self, latents: Tensor) -> Tensor:
        """Latents (B, T, C) to codes int64 (B, T, levels), the coarsest first."""
        ids: Tensor = self.quantizer(latents).ids
        return ids

    def quantize_and_learn(self, latents: Tensor, used: Tensor | None = None) -> Quantized:
        """Quantised latents with gradient; in training mode the codebooks learn as well.

        Args:
            latents: (B, T, C).
            used: int (B,), levels each sample passes through; all by default.
        """
        quantized: Quantized = self.quantizer(latents, used)
        return quantized

    def dequantize(self, ids: Tensor, levels: int | None = None) -> Tensor:
        """Codes int64 (B, T, q) to latents (B, T, C), by the first levels only if asked.

        Raises:
            AudioError: ids of a wrong type, shape or range, or too many levels.
        """
        return self.quantizer.decode(ids.to(self.device), levels)

    def decode(self, codes: Tensor, levels: int | None = None) -> Tensor:
        """Codes or latents to sound.

        Args:
            codes: int64 ids (B, T, q) or float latents (B, T, C).
            levels: how many levels of the ids to use; all by default.

        Returns:
            audio: float (B, T · 320), about in [-1, 1].

        Raises:
            AudioError: malformed ids or latents.
        """
        return self.decode_hops(self.latents_of(codes, levels)).flatten(1)

    def latents_of(self, codes: Tensor, levels: int | None = None) -> Tensor:
        """Latents (B, T, C) of ids, or the latents themselves; raises as `decode` does."""
        if not codes.is_floating_point():
            return self.dequantize(codes, levels).to(self.dtype)
        if codes.ndim != 3 or codes.shape[-1] != self.config.channels:
            raise AudioError(
                f"Latents are float (B, T, {self.config.channels}), got {tuple(codes.shape)}."
            )
        if levels is not None:
            raise AudioError("levels= chooses levels of ids; latents have none: quantize them.")
        return codes.to(self.device)

    def decode_hops(self, latents: Tensor, memory: Memory | None = None) -> Tensor:
        """Latents (B, T, C) to hops of samples (B, T, 320)."""
        hops: Tensor = self.decoder(latents, memory)
        return hops
