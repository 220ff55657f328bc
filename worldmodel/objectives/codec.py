"""What the audio codec is trained for: the same waveform, and where bits run out the same sound."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from multimodal.audio.codec import RATE_HZ, AudioCodec
from worldmodel.objectives.spectral import MelDistance, signal_to_noise_db

__all__ = ["CodecObjective"]

_WAVEFORM_WEIGHT = 0.05
_MEL_WEIGHT = 1.0
_COMMITMENT_WEIGHT = 0.25


class CodecObjective(nn.Module):
    """Waveform, mel and commitment loss, with the number of levels drawn anew for each sound.

    The signal-to-noise ratio fixes the phase, which spectra do not see; the mel distance keeps the
    weak high bands, which the ratio does not see.

    Args:
        codec: the model to train.
        all_levels: share of sounds that pass through every level; the others through fewer.
    """

    def __init__(self, codec: AudioCodec, all_levels: float = 0.6) -> None:
        super().__init__()
        self.codec = codec
        self.all_levels = all_levels
        self.mel = MelDistance(RATE_HZ)

    def _levels(self, batch: int, device: torch.device) -> Tensor:
        """Levels for each sound, int64 (batch,)."""
        levels = self.codec.config.levels
        drawn = torch.randint(1, levels + 1, (batch,), device=device)
        every = torch.rand(batch, device=device) < self.all_levels
        return torch.where(every, levels, drawn)

    def forward(self, audio: Tensor, **_: Tensor) -> dict[str, Tensor]:
        """Loss of a batch of sounds.

        Args:
            audio: float (B, samples) at 24 kHz, samples a multiple of 320.

        Returns:
            loss, mel (nepers), snr_db of sounds that pass through all levels, and commitment.
        """
        levels = self.codec.config.levels
        used = self._levels(len(audio), audio.device) if self.training else None
        latents = self.codec.encoder(self.codec.hops(audio))
        with torch.autocast(audio.device.type, enabled=False):
            quantized = self.codec.quantize_and_learn(latents.float(), used)
        made = self.codec.decode_hops(quantized.values).flatten(1)
        with torch.autocast(audio.device.type, enabled=False):
            ratio_db = signal_to_noise_db(made, audio)
            mel = self.mel(made, audio)
        loss = _MEL_WEIGHT * mel - _WAVEFORM_WEIGHT * ratio_db.mean()
        metrics = {"mel": mel.detach(), "commitment": quantized.commitment.detach()}
        full = torch.ones_like(ratio_db, dtype=torch.bool) if used is None else used == levels
        if bool(full.any()):
            metrics["snr_db"] = ratio_db.detach()[full].mean()
        return {"loss": loss + _COMMITMENT_WEIGHT * quantized.commitment, **metrics}

    def export(self, directory: Path) -> None:
        """Write the codec in diffusers' form into `directory`."""
        self.codec.save_pretrained(directory)
