"""The recogniser's network: Whisper's architecture on short windows, with a second head for CTC.

The encoder takes as many frames as there are, not always thirty seconds; positions are Whisper's
sinusoids, so a shorter window is the beginning of a longer one. Two frames of ten milliseconds make
one of its inputs, so that a second is 25 positions. The CTC head reads letters off the encoder
frame by frame, which a grammar can steer; the decoder writes words one after the other, and judges
what the grammar proposes.

Attention over absolute positions is slow to find out that sounds are made of what is near: between
Whisper's stem and its layers, convolutions look at neighbours, and CTC finds the letters within
hundreds of steps instead of thousands.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import WhisperConfig, WhisperForConditionalGeneration

from multimodal.audio.log_mel import BANDS, HOP, RATE_HZ
from multimodal.speech.grammar import WORDS

__all__ = [
    "BLANK",
    "END",
    "FRAMES_A_STEP",
    "FRAME_S",
    "LETTERS",
    "LONGEST_WINDOW_S",
    "START",
    "STEP",
    "UNKNOWN",
    "Near",
    "SpeechModel",
    "letter_ids",
    "levelled",
    "speech_config",
    "spoken_letters",
    "word_ids",
]

_STACKED: Final = 2
BLANK: Final = 0
"""Padding of the decoder and CTC's blank."""
START, END, UNKNOWN = 1, 2, 3
_FIRST: Final = 4
FRAMES_A_STEP: Final = 2 * _STACKED
"""Frames of the features that one position of the encoder stands for."""
STEP: Final = FRAMES_A_STEP * HOP
"""Samples at 16 kHz that one position of the encoder stands for."""
FRAME_S: Final = STEP / RATE_HZ
"""Seconds between two positions of the encoder: 40 ms."""
LONGEST_WINDOW_S: Final = 12.0
_LONGEST_TEXT = 64
_IDS = {word: _FIRST + number for number, word in enumerate(WORDS)}
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
LETTERS: Final = len(_LETTERS)
"""How many letters CTC knows beside the blank."""
# Six powers of ten below the loudest band there is nothing but noise.
_RANGE: Final = 6.0
_REACH: Final = 2


def letter_ids(text: str) -> list[int]:
    """What CTC reads of a text: its letters, 1 to 26, without spaces; 0 is the blank."""
    return [1 + _LETTERS.index(each) for each in text if each in _LETTERS]


def spoken_letters(ids: list[int]) -> str:
    """The letters of ids, blanks left out."""
    return "".join(_LETTERS[each - 1] for each in ids if each != BLANK)


def word_ids(text: str) -> list[int]:
    """Ids of a text's words; words that the grammar lacks, however many in a row, are one unknown.

    Args:
        text: normal text.
    """
    ids: list[int] = []
    for word in text.split():
        each = _IDS.get(word, UNKNOWN)
        if each != UNKNOWN or ids[-1:] != [UNKNOWN]:
            ids.append(each)
    return ids


def speech_config(
    width: int = 192,
    layers: int = 2,
    near: int = 4,
    heads: int = 4,
    hidden: int = 576,
    decoder_layers: int = 1,
    dropout: float = 0.0,
) -> WhisperConfig:
    """A Whisper of our own size, words and window.

    Args:
        width: channels of encoder and decoder.
        layers: of the encoder, with attention.
        near: blocks before them that look at neighbours only.
        heads: of every attention.
        hidden: channels inside the feed-forward layers.
        decoder_layers: of the decoder.
        dropout: in every layer, while training.
    """
    return WhisperConfig(
        vocab_size=_FIRST + len(WORDS),
        num_mel_bins=_STACKED * BANDS,
        d_model=width,
        encoder_layers=layers,
        encoder_attention_heads=heads,
        encoder_ffn_dim=hidden,
        decoder_layers=decoder_layers,
        decoder_attention_heads=heads,
        decoder_ffn_dim=hidden,
        dropout=dropout,
        near=near,
        max_source_positions=round(LONGEST_WINDOW_S / FRAME_S),
        max_target_positions=_LONGEST_TEXT,
        pad_token_id=BLANK,
        bos_token_id=START,
        eos_token_id=END,
        decoder_start_token_id=START,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        # The fused attention's gradient is slow in bfloat16 on a CPU.
        attn_implementation="eager",
    )


class Near(nn.Module):
    """Five positions around each, `apart` from one another, to one: a time-delay network's layer.

    Source: Peddinti et al., "A time delay neural network architecture for efficient modeling of
    long temporal contexts" (2015).
    """

    def __init__(self, width: int, apart: int) -> None:
        super().__init__()
        self.apart = apart
        self.norm = nn.LayerNorm(width)
        self.gather = nn.Linear((2 * _REACH + 1) * width, width)
        self.give = nn.Linear(width, width)

    def reset(self) -> None:
        """Torch's own first weights: with Whisper's, such narrow blocks pass little on."""
        self.gather.reset_parameters()
        self.give.reset_parameters()

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states (B, T, W) with what their neighbours say added."""
        positions, margin = hidden.shape[1], _REACH * self.apart
        padded = F.pad(self.norm(hidden), (0, 0, margin, margin))
        # Matrix products: convolutions of so few channels are slow in bfloat16 on a CPU.
        around = [padded[:, start : start + positions]
                  for start in range(0, 2 * margin + 1, self.apart)]  # fmt: skip
        return hidden + self.give(F.gelu(self.gather(torch.cat(around, 2))))


class SpeechModel(WhisperForConditionalGeneration):
    """Whisper with a CTC head; `save_pretrained` and `from_pretrained` are those of transformers.

    Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022);
    Graves et al., "Connectionist Temporal Classification" (2006); the two heads together: Watanabe
    et al., "Hybrid CTC/Attention Architecture for End-to-End Speech Recognition" (2017).

    Args:
        config: as made by `speech_config`.
    """

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        self.near = nn.ModuleList(
            Near(config.d_model, 1 + number // 2) for number in range(config.near)
        )
        self.ctc_head = nn.Linear(config.d_model, 1 + len(_LETTERS))
        self.post_init()
        for each in self.near:
            assert isinstance(each, Near)
            each.reset()

    def encode(self, features: Tensor) -> Tensor:
        """Positions from log-mel features of any length up to the window.

        Args:
            features: float (B, 80, F), 100 frames a second, as of `multimodal.audio.log_mel`, F a
                multiple of four.

        Returns:
            (B, F/4, C).
        """
        encoder: Any = self.model.encoder
        features = levelled(features)
        stacked = features.unflatten(2, (-1, _STACKED)).transpose(2, 3).flatten(1, 2)
        hidden = F.gelu(encoder.conv1(stacked))
        hidden = F.gelu(encoder.conv2(hidden)).transpose(1, 2)
        for each in self.near:
            hidden = each(hidden)
        hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
        hidden = F.dropout(hidden, p=encoder.dropout, training=self.training)
        for layer in encoder.layers:
            hidden = layer(hidden, None)
        return encoder.layer_norm(hidden)

    def frame_logits(self, hidden: Tensor) -> Tensor:
        """Logits (B, T, 27) of the blank and each letter at each position of `encode`."""
        return self.ctc_head(hidden)

    def text_logits(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """Logits of the next word after each of `ids`.

        Args:
            hidden: (B, T, C), of `encode`.
            ids: int64 (B, N), the start and then the text.

        Returns:
            (B, N, words).
        """
        decoder: Any = self.model.decoder
        made = decoder(input_ids=ids, encoder_hidden_states=hidden, use_cache=False)
        return self.proj_out(made.last_hidden_state)

    @staticmethod
    def targets(texts: list[str]) -> tuple[Tensor, Tensor]:
        """What the decoder reads and what it should write, for texts.

        Returns:
            int64 (B, N) starting with the start, and int64 (B, N) ending with the end, -100 after.
        """
        rows = [word_ids(text)[: _LONGEST_TEXT - 1] for text in texts]
        longest = 1 + max(len(row) for row in rows)
        read = torch.full((len(rows), longest), BLANK)
        write = torch.full((len(rows), longest), -100)
        for number, row in enumerate(rows):
            read[number, : 1 + len(row)] = torch.tensor([START, *row])
            write[number, : 1 + len(row)] = torch.tensor([*row, END])
        return read, write


def levelled(features: Tensor) -> Tensor:
    """Every band relative to its mean: without the microphone's colour, and however loud.

    Source: Atal, "Effectiveness of linear prediction characteristics of the speech wave for
    automatic speaker identification and verification" (1974), on bands.
    """
    # Features count four powers of ten as one.
    power = 4 * features.float()
    power = torch.maximum(power, power.amax((1, 2), keepdim=True) - _RANGE)
    return power - power.mean(2, keepdim=True)
