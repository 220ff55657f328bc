"""How far a codec's sound is from the original, and how well its codebooks are used."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from multimodal.audio.codec import RATE_HZ, AudioCodec
from worldmodel.objectives.spectral import MelDistance

__all__ = ["Score", "codebook_use", "distances", "measure"]

# Mel distances are in nepers of amplitude.
_DB_PER_NEPER = 20 / np.log(10)


class Score(NamedTuple):
    """One sound through the codec.

    Attributes:
        si_sdr_db: scale-invariant signal-to-distortion ratio by 1, 2, ... levels.
        mel_db: mean absolute difference of the log-mel spectrograms by 1, 2, ... levels.
        ids: int64 (T, levels).
    """

    si_sdr_db: list[float]
    mel_db: list[float]
    ids: NDArray[np.int64]


@cache
def _mel() -> MelDistance:
    return MelDistance(RATE_HZ)


@torch.no_grad()
def distances(made: Tensor, true: Tensor) -> tuple[float, float]:
    """SI-SDR in dB, and mean absolute log-mel difference in dB, of two waveforms (samples,)."""
    ratio = scale_invariant_signal_distortion_ratio(made, true)
    return float(ratio), float(_mel()(made[None], true[None])) * _DB_PER_NEPER


@torch.no_grad()
def measure(codec: AudioCodec, audio: Tensor) -> Score:
    """Code a sound once and decode it by every number of levels.

    Args:
        codec: in evaluation mode.
        audio: float (samples,) at 24 kHz, not silent.

    Returns:
        The score.
    """
    ids = codec.quantize(codec.encode(audio[None]))
    pairs = [
        distances(codec.decode(ids, levels)[0, : len(audio)], audio)
        for levels in range(1, codec.config.levels + 1)
    ]
    return Score([ratio for ratio, _ in pairs], [mel for _, mel in pairs], ids[0].numpy())


def codebook_use(ids: Sequence[NDArray[np.int64]], codes: int) -> dict[str, list[float]]:
    """How well the codebooks are used.

    Args:
        ids: one (T, levels) for each sound.
        codes: entries of a codebook.

    Returns:
        For each level: `used`, the share of its entries chosen at least once; `perplexity`, two to
        the power of the entropy of its choices; `bits`, that entropy, `codes` allowing for log2 of
        it.
    """
    together = np.concatenate(list(ids))
    used, perplexity, bits = [], [], []
    for level in together.T:
        share = np.bincount(level, minlength=codes) / len(level)
        entropy = float(-(share[share > 0] * np.log2(share[share > 0])).sum())
        used.append(float((share > 0).mean()))
        perplexity.append(2**entropy)
        bits.append(entropy)
    return {"used": used, "perplexity": perplexity, "bits": bits}
