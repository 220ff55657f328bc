"""Speech as 12.5 integers a second, made to be understood: what a recogniser makes of 80 ms.

The codec's codes keep a waveform, voice and all; these keep what is being said. The first layers of
a recogniser look at neighbouring sounds, a few rounded numbers remain of every 80 ms, and letters
are read off those numbers alone, so that a unit means the same whoever speaks (as CosyVoice's S3
tokens, arXiv 2407.05407, and GLM-4-Voice's, arXiv 2412.02612, which are quantised states of a
supervised recogniser too).
"""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from numpy.typing import NDArray
from torch import Tensor, nn

from multimodal import fsq
from multimodal.audio.log_mel import BANDS, log_mel
from multimodal.errors import AudioError, ConfigError
from multimodal.image_codes import REACH
from multimodal.speech.model import FRAMES_A_STEP, LETTERS, Near, SpeechModel, levelled

__all__ = ["FRAMES", "SpeechUnits", "unit_features"]

_STATES: Final = 2
FRAMES: Final = _STATES * FRAMES_A_STEP
"""Frames of the features that a unit stands for: 80 ms."""
_HIDDEN: Final = 96


def unit_features(audio: Tensor | NDArray[Any]) -> Tensor:
    """Log-mel features float32 (80, F) of a sound (samples,) at 16 kHz, F a multiple of 8.

    Raises:
        AudioError: malformed audio, or shorter than 80 ms.
    """
    bands = log_mel(torch.as_tensor(audio)[None], window_s=None)[0]
    frames = bands.shape[1] // FRAMES * FRAMES
    if not frames:
        raise AudioError("the sound is shorter than 80 ms, the length of a unit.")
    return bands[:, :frames]


class SpeechUnits(ModelMixin, ConfigMixin):
    """The first layers of a recogniser, rounded.

    Args:
        width: channels.
        near: blocks that look at neighbours.
        levels: of each digit of a unit.
        digits: of a unit: levels ** digits units.
    """

    @register_to_config
    def __init__(self, width: int = 144, near: int = 4, levels: int = 5, digits: int = 5) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(FRAMES_A_STEP // 2 * BANDS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(Near(width, 1 + number // 2) for number in range(near))
        self.narrow = nn.Sequential(
            nn.LayerNorm(_STATES * width), nn.Linear(_STATES * width, digits)
        )
        self.letters = nn.Sequential(
            nn.Linear(digits, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, _STATES * (1 + LETTERS))
        )

    @property
    def units(self) -> int:
        """How many units there are."""
        return int(self.config.levels**self.config.digits)

    def start_from(self, recogniser: SpeechModel) -> None:
        """Take over the first layers of a trained recogniser of the same width.

        Raises:
            ConfigError: of another width, or with more or fewer blocks.
        """
        theirs, mine = recogniser.config, self.config
        if (theirs.d_model, len(recogniser.near)) != (mine.width, len(self.blocks)):
            raise ConfigError(
                f"units of width={mine.width} and near={len(self.blocks)} cannot start from a "
                f"recogniser of width {theirs.d_model} with {len(recogniser.near)} blocks: set "
                "size.speech_units.width and .near to these, or size.speech_units.start=null."
            )
        encoder: Any = recogniser.model.encoder
        self.conv1.load_state_dict(encoder.conv1.state_dict())
        self.conv2.load_state_dict(encoder.conv2.state_dict())
        for own, other in zip(self.blocks, recogniser.near, strict=True):
            own.load_state_dict(other.state_dict())

    def states(self, features: Tensor) -> Tensor:
        """What is heard around every 40 ms: float (B, F / 4, width) of features (B, 80, F)."""
        stacked = levelled(features).unflatten(2, (-1, FRAMES_A_STEP // 2))
        hidden = F.gelu(self.conv1(stacked.transpose(2, 3).flatten(1, 2)))
        hidden = F.gelu(self.conv2(hidden)).transpose(1, 2)
        for each in self.blocks:
            hidden = each(hidden)
        return hidden

    def numbers(self, states: Tensor) -> Tensor:
        """What is rounded: float (B, T / 2, digits) of states (B, T, width)."""
        return REACH * torch.tanh(self.narrow(states.unflatten(1, (-1, _STATES)).flatten(2)))

    def letter_logits(self, numbers: Tensor) -> Tensor:
        """Logits (..., 2, 27) of the blank and each letter in either half of a unit's time."""
        return self.letters(numbers / REACH).unflatten(-1, (_STATES, 1 + LETTERS))

    @torch.no_grad()
    def meanings(self) -> Tensor:
        """How probable every unit makes the blank and the letters, float32 (units, 54)."""
        config: Any = self.config
        numbers = fsq.dequantize(torch.arange(self.units)[:, None], config.levels, config.digits)
        return self.letter_logits(numbers).float().softmax(-1).flatten(1)

    @torch.no_grad()
    def encode(self, audio: Tensor | NDArray[Any]) -> NDArray[Any]:
        """A sound (samples,) at 16 kHz as units int64 (T, 1), 12.5 a second.

        Raises:
            AudioError: malformed audio, or shorter than a unit.
        """
        states = self.states(unit_features(audio)[None])
        found = fsq.quantize(self.numbers(states), self.config.levels, 1)
        ids: NDArray[Any] = found[0].numpy()
        return ids
