"""PocketSphinx behind the recogniser's protocol, held to the grammar of the world's vocabulary."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from multimodal.errors import MissingExtraError
from multimodal.speech.grammar import jsgf
from multimodal.speech.transcript import Transcript, speech_waveform

__all__ = ["SphinxRecogniser"]

_LONGEST_S = 30.0
_SILENT = 1e-4


class SphinxRecogniser:
    """PocketSphinx with its own English model and our grammar; CPU only.

    It forces everything that is louder than silence into the grammar, so its confidence is the
    posterior of its best path and says little about noise.

    Raises:
        MissingExtraError: PocketSphinx is not installed.
    """

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise MissingExtraError(
                "PocketSphinx is not installed: `pip install 'worldmodel[sphinx]'`."
            ) from error
        # The acoustic and language model that come in its wheel; the log would go to stderr.
        self._decoder: Any = Decoder(lm=None, loglevel="FATAL")
        self._decoder.add_jsgf_string("table", jsgf())
        self._decoder.activate_search("table")

    def transcribe(self, waveform: Tensor | NDArray[Any], rate_hz: int) -> Transcript:
        """See `multimodal.speech.Recogniser`; at most 30 s."""
        started = time.perf_counter()
        sound = speech_waveform(waveform, rate_hz, _LONGEST_S).numpy()
        if np.abs(sound).max() < _SILENT:
            return Transcript("", 0.0, took_s=time.perf_counter() - started)
        self._decoder.start_utt()
        samples = (sound.clip(-1, 1) * 32767).astype(np.int16).tobytes()
        self._decoder.process_raw(samples, full_utt=True)
        self._decoder.end_utt()
        best = self._decoder.hyp()
        took_s = time.perf_counter() - started
        if best is None or not best.hypstr:
            return Transcript("", 0.0, took_s=took_s)
        probability = float(self._decoder.get_logmath().exp(best.prob))
        return Transcript(best.hypstr, min(1.0, probability), best.hypstr, took_s)
