"""Any Whisper, Moonshine or CTC recogniser of the hub behind the project's protocol."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    AutoModelForCTC,
    AutoModelForSpeechSeq2Seq,
    AutoProcessor,
)

from multimodal.audio.log_mel import RATE_HZ
from multimodal.errors import CheckpointError
from multimodal.hub import open_hub
from multimodal.speech.language import normal_text
from multimodal.speech.transcript import Transcript, speech_waveform

__all__ = ["HubRecogniser"]

_LONGEST_S = 30.0
_SILENT = 1e-4
# A command is short; what goes on for longer is a model repeating itself.
_MOST_TOKENS = 96


class HubRecogniser:
    """A model of transformers that turns speech into text.

    It writes whatever it likes: there is no grammar. The confidence is the mean probability of the
    tokens it chose.

    Args:
        name_or_dir: a name on the hub, or a folder written by `save_pretrained` with model and
            processor.

    Raises:
        CheckpointError: no such model.
    """

    def __init__(self, name_or_dir: str | Path) -> None:
        self._processor: Any = open_hub(AutoProcessor, name_or_dir, "speech processor")
        try:
            self._model: Any = open_hub(AutoModelForSpeechSeq2Seq, name_or_dir, "recogniser")
            self._ctc = False
        except CheckpointError:
            self._model = open_hub(AutoModelForCTC, name_or_dir, "recogniser")
            self._ctc = True
        self._model.eval().requires_grad_(False)

    def transcribe(self, waveform: Tensor | NDArray[Any], rate_hz: int) -> Transcript:
        """See `multimodal.speech.Recogniser`; at most 30 s."""
        started = time.perf_counter()
        sound = speech_waveform(waveform, rate_hz, _LONGEST_S)
        if float(sound.abs().max()) < _SILENT:
            return Transcript("", 0.0, took_s=time.perf_counter() - started)
        inputs = self._processor(sound.numpy(), sampling_rate=RATE_HZ, return_tensors="pt")
        with torch.no_grad():
            ids, confidence = self._by_frames(inputs) if self._ctc else self._by_tokens(inputs)
        heard = self._processor.batch_decode(ids, skip_special_tokens=True)[0].strip()
        took_s = time.perf_counter() - started
        return Transcript(normal_text(heard), confidence, heard, took_s)

    def _by_frames(self, inputs: Any) -> tuple[Tensor, float]:
        probabilities = self._model(**inputs).logits.softmax(-1)
        best = probabilities.max(-1)
        return best.indices, float(best.values.mean())

    def _by_tokens(self, inputs: Any) -> tuple[Tensor, float]:
        made = self._model.generate(
            **inputs,
            max_new_tokens=_MOST_TOKENS,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
        )
        chosen = made.sequences[0, -len(made.scores) :] if made.scores else made.sequences[0, :0]
        sure = [s[0].log_softmax(-1)[t] for s, t in zip(made.scores, chosen, strict=True)]
        return made.sequences, float(torch.stack(sure).mean().exp()) if sure else 0.0
