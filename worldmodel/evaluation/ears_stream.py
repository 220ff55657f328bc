"""The listener on streams: what waiting for the end costs, and that nothing gives nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from multimodal.audio.engines import Voice, available, speak
from multimodal.audio.log_mel import RATE_HZ
from multimodal.audio.sentences import sentences
from multimodal.audio.sounds import KINDS, synthetic_sound
from multimodal.audio.waveform import resample
from multimodal.speech.corpus import SpokenCommands
from multimodal.speech.disturb import Sound, add_noise, babble, coloured_noise
from multimodal.speech.language import parse_command
from multimodal.speech.listener import Final, Listener
from multimodal.speech.stop_batches import word_end
from multimodal.speech.transcript import Recogniser

__all__ = ["nothing_figures", "stream_figures"]

_STREAMS = 48
_BEFORE_S, _AFTER_S = 0.6, 1.2
_RATIO_DB = 20.0
_NOTHING_EACH = 6
_FOREIGN = (
    ("de", "der hund läuft schnell über die grüne wiese nach hause"),
    ("fr-fr", "le petit chat dort sur la chaise dans la cuisine"),
    ("es", "mañana vamos a la playa con nuestros amigos"),
    ("it", "oggi il tempo è bello e andiamo al mercato"),
    ("pl", "dzisiaj jest piękna pogoda i idziemy do parku"),
    ("fi", "huomenna menemme järvelle kalastamaan ystävien kanssa"),
)


def stream_figures(recogniser: Recogniser, corpus: SpokenCommands) -> dict[str, float]:
    """Feed utterances at 20 dB piece by piece.

    Returns:
        endpoint_ms_p50 and _p95 (end of the last word to the `Final` event, waiting for the pause
        and computing included), listener_match_20db (the first `Final` asks for what was said).
    """
    listener = Listener(recogniser)
    utterances = corpus.of("test")
    chosen = utterances[:: max(1, len(utterances) // _STREAMS)]
    delays, matches = [], []
    for number, spoken in enumerate(chosen):
        sound = corpus.read(spoken)
        before, after = round(_BEFORE_S * RATE_HZ), round(_AFTER_S * RATE_HZ)
        rng = np.random.default_rng(number)
        padded = np.pad(sound, (before, after))
        mixed = add_noise(padded, coloured_noise(rng, len(padded)), _RATIO_DB)
        finals = _finals(listener, mixed)
        end_s = (before + word_end(sound)) / RATE_HZ
        if finals:
            delays.append(finals[-1].at_s + finals[-1].took_s - end_s)
        matches.append(
            len(finals) == 1 and parse_command(finals[0].text) == parse_command(spoken.text)
        )
    return {
        "endpoint_ms_p50": 1000 * float(np.percentile(delays, 50)),
        "endpoint_ms_p95": 1000 * float(np.percentile(delays, 95)),
        "listener_match_20db": float(np.mean(matches)),
    }


def _finals(listener: Listener, sound: Sound) -> list[Final]:
    listener.reset()
    events = [event for piece in np.array_split(sound, max(1, len(sound) // 512))
              for event in listener.feed(piece)]  # fmt: skip
    return [each for each in [*events, *listener.finish()] if isinstance(each, Final)]


def nothing_figures(recogniser: Recogniser, others: Sequence[Sound]) -> dict[str, float]:
    """What is understood where nobody gives a command.

    Args:
        recogniser: what to measure.
        others: utterances to make babble of.

    Returns:
        noise_understood: share of silence, noise, tones and babble that gives any text;
        gibberish_understood and foreign_understood: share of English words at random, and of
        sentences in other languages, that give a command.
    """
    rng = np.random.default_rng(0)
    seconds = 3 * RATE_HZ
    noises = [synthetic_sound(rng, seconds, RATE_HZ, kind) * 0.3
              for kind in KINDS for _ in range(_NOTHING_EACH)]  # fmt: skip
    noises += [coloured_noise(rng, seconds) * 0.05 for _ in range(_NOTHING_EACH)]
    noises += [babble(rng, others, seconds) * 0.05 for _ in range(_NOTHING_EACH)]
    gibberish = [text for number, text in zip(range(24), sentences(9), strict=False) if number % 2]
    figures = {"noise_understood": _share(recogniser, noises, commands_only=False)}
    if available("espeak-ng"):
        spoken = {
            "gibberish": [("en-gb-scotland+m8", text) for text in gibberish],
            "foreign": [(f"{language}+f4", text) for language, text in _FOREIGN],
        }
        for name, lines in spoken.items():
            sounds = [_speak(voice, text) for voice, text in lines]
            figures[f"{name}_understood"] = _share(recogniser, sounds, commands_only=True)
    return figures


def _speak(voice: str, text: str) -> Sound:
    sound, rate_hz = speak(text, Voice("espeak-ng", voice))
    made: Sound = resample(sound, rate_hz, RATE_HZ).numpy()
    return made


def _share(recogniser: Recogniser, sounds: Sequence[Sound], *, commands_only: bool) -> float:
    understood = 0
    for sound in sounds:
        text = recogniser.transcribe(torch.from_numpy(sound.astype(np.float32)), RATE_HZ).text
        understood += bool(parse_command(text)) if commands_only else bool(text)
    return understood / len(sounds)
