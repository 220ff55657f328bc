"""The project's own recogniser: its network, the grammar, and how sure both are together."""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchaudio.functional import forced_align

from multimodal.audio.log_mel import log_mel
from multimodal.language.vocabulary import COLOURS, SHAPES, WALLS
from multimodal.speech.model import (
    BLANK,
    LONGEST_WINDOW_S,
    STEP,
    SpeechModel,
    letter_ids,
    spoken_letters,
)
from multimodal.speech.search import command_network
from multimodal.speech.transcript import Transcript, speech_waveform

__all__ = ["OwnRecogniser"]

_SILENT: Final = 1e-4
_SHORTEST = 4 * STEP
# Words that take one another's place in a sentence, and that decide what is done.
_CLASSES = (COLOURS, SHAPES, WALLS)


class OwnRecogniser:
    """Finds the best sentence of the grammar, lets the decoder judge its alternatives.

    Args:
        model: the network.
        accept: confidence below which nothing was understood.
        decoder_weight: share of the decoder's judgement of the alternatives, CTC's is the rest.
    """

    def __init__(
        self, model: SpeechModel, accept: float = 0.4, decoder_weight: float = 0.4
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.accept, self.decoder_weight = accept, decoder_weight
        self._network = command_network()

    @torch.inference_mode()
    def transcribe(self, waveform: Tensor | NDArray[Any], rate_hz: int) -> Transcript:
        """See `multimodal.speech.Recogniser`; at most 12 s, a `Listener` cuts longer sound."""
        started = time.perf_counter()
        sound = speech_waveform(waveform, rate_hz, LONGEST_WINDOW_S)
        if float(sound.abs().max()) < _SILENT or len(sound) < _SHORTEST:
            return Transcript("", 0.0, took_s=time.perf_counter() - started)
        sound = F.pad(sound, (0, -len(sound) % STEP))
        hidden = self.model.encode(log_mel(sound[None], window_s=None))
        likelihood = self.model.frame_logits(hidden)[0].float().log_softmax(-1)
        text, confidence, heard = self._understand(hidden, likelihood)
        return Transcript(text, confidence, heard, time.perf_counter() - started)

    def _understand(self, hidden: Tensor, likelihood: Tensor) -> tuple[str, float, str]:
        free = likelihood.max(-1)
        heard = spoken_letters(_collapsed(free.indices.tolist()))
        if not heard:
            return "", 0.0, ""
        found = self._network.search(likelihood.numpy())
        text, share = self._judge(hidden, likelihood, found.text)
        # How much worse the grammar's best is than the best of all, for each letter of it.
        price = float(free.values.sum()) - _best_alignment(likelihood, text)
        confidence = float(np.exp(-price / len(letter_ids(text)))) * share
        return (text if confidence >= self.accept else ""), confidence, heard

    def _judge(self, hidden: Tensor, likelihood: Tensor, text: str) -> tuple[str, float]:
        """The best of a sentence and those that differ in one word that matters; its share."""
        candidates = _alternatives(text)
        if len(candidates) == 1:
            return text, 1.0
        ctc = _ctc_scores(likelihood, candidates)
        decoder = self._decoder_scores(hidden, candidates)
        scores = (1 - self.decoder_weight) * ctc + self.decoder_weight * decoder
        best = int(scores.argmax())
        return candidates[best], float(scores.softmax(0)[best])

    def _decoder_scores(self, hidden: Tensor, candidates: list[str]) -> Tensor:
        read, write = self.model.targets(candidates)
        logits = self.model.text_logits(hidden.expand(len(candidates), -1, -1), read).float()
        chosen = logits.log_softmax(-1).gather(2, write.clamp_min(0)[..., None])[..., 0]
        return (chosen * (write >= 0)).sum(1)


def _collapsed(ids: list[int]) -> list[int]:
    """CTC's rule: of equal neighbours one stays."""
    return [each for number, each in enumerate(ids) if number == 0 or each != ids[number - 1]]


def _alternatives(text: str) -> list[str]:
    """The sentence, and every sentence with one colour, shape or wall exchanged."""
    said, made = text.split(), [text]
    for place, word in enumerate(said):
        for words in _CLASSES:
            if word in words:
                made += [
                    " ".join([*said[:place], other, *said[place + 1 :]])
                    for other in words
                    if other != word
                ]
    return made


def _best_alignment(likelihood: Tensor, text: str) -> float:
    """Log-likelihood of the best of a text's alignments.

    The sum over all of them is no measure against the best path of all letters: in long murmur
    every frame leaves much open, there are very many alignments, and "no" seems as good as can be.
    """
    _, each = forced_align(likelihood[None], torch.tensor([letter_ids(text)]), blank=BLANK)
    return float(each.sum())


def _ctc_scores(likelihood: Tensor, candidates: list[str]) -> Tensor:
    """Log-likelihood (K,) of each candidate over all its alignments."""
    count = len(candidates)
    rows = [torch.tensor(letter_ids(each)) for each in candidates]
    frames = likelihood[:, None].expand(-1, count, -1)
    lengths = torch.tensor([len(row) for row in rows])
    heard = torch.full((count,), len(likelihood))
    return -F.ctc_loss(frames, torch.cat(rows), heard, lengths, BLANK, reduction="none")
