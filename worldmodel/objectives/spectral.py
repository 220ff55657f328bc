"""How far two sounds are apart: by waveform, by spectrum and by what the ear resolves."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

__all__ = ["MelDistance", "signal_to_noise_db"]

# Of a full-scale sine. What lies below -80 dB is not heard, but speech made by a machine pauses in
# digital silence, and without a floor most of the distance would be about those pauses.
_FLOOR = 1e-4


def signal_to_noise_db(made: Tensor, true: Tensor, floor: float = 1e-3) -> Tensor:
    """Signal-to-noise ratio of each sound in dB, bounded where there is next to no signal.

    Args:
        made: (B, samples).
        true: (B, samples).
        floor: root mean square of the sound below which errors are forgiven.

    Returns:
        (B,).
    """
    quiet = floor**2
    signal = true.square().mean(-1) + quiet
    noise = (made - true).square().mean(-1) + quiet * 0.01
    return 10 * (signal / noise).log10()


class MelDistance(nn.Module):
    """Mean absolute difference of log-mel spectrograms at several resolutions.

    Args:
        rate_hz: sampling rate.
        windows: lengths of the windows in samples, with the number of mel bands of each.
        hop_share: hop as a share of the window.
    """

    def __init__(
        self,
        rate_hz: int,
        windows: tuple[tuple[int, int], ...] = ((2048, 80), (512, 40), (128, 10)),
        hop_share: float = 0.25,
    ) -> None:
        super().__init__()
        self.windows, self.hop_share = windows, hop_share
        for length, bands in windows:
            filters = mel_filter_bank(
                length // 2 + 1, bands, 0.0, rate_hz / 2, rate_hz, norm=None, mel_scale="slaney"
            )
            self.register_buffer(
                f"filters_{length}", torch.from_numpy(filters).float(), persistent=False
            )
            window = torch.hann_window(length)
            # So that a full-scale sine has magnitude 1 at every resolution.
            self.register_buffer(f"scale_{length}", 2 / window.sum(), persistent=False)
            self.register_buffer(f"window_{length}", window, persistent=False)

    def log_mel(self, audio: Tensor, length: int) -> Tensor:
        """Log-mel spectrogram (B, frames, bands) of (B, samples); 0 is a full-scale sine."""
        window = self.get_buffer(f"window_{length}")
        hop = int(length * self.hop_share)
        spectrum = torch.stft(audio, length, hop, window=window, return_complex=True)
        magnitude = torch.view_as_real(spectrum).square().sum(-1).add(1e-12).sqrt()
        mel = magnitude.transpose(1, 2) @ self.get_buffer(f"filters_{length}")
        return (mel * self.get_buffer(f"scale_{length}")).clamp_min(_FLOOR).log()

    def forward(self, made: Tensor, true: Tensor) -> Tensor:
        """Mean over resolutions of the mean absolute difference, in nepers; a scalar.

        Args:
            made: float (B, samples).
            true: float (B, samples).
        """
        distances = [
            F.l1_loss(self.log_mel(made, length), self.log_mel(true, length))
            for length, _ in self.windows
        ]
        return torch.stack(distances).mean()
