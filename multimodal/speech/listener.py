"""Sound that comes in pieces, from a file or a microphone, as events: speech, words, the end, stop.

The end of an utterance is a pause. It may be short where what was said is complete (a command that
the grammar knows), and has to be longer where more may follow, so that a speaker who hesitates is
not cut off and one who is done does not wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.audio.log_mel import RATE_HZ
from multimodal.audio.waveform import audio_tensor, read_audio
from multimodal.errors import AudioError
from multimodal.speech.activity import CHUNK, CHUNK_S, VoiceActivity
from multimodal.speech.language import is_stop, parse_command
from multimodal.speech.rate import RateConverter
from multimodal.speech.transcript import LONGEST_S, Recogniser, Transcript

__all__ = [
    "Event",
    "Final",
    "Listener",
    "ListenerTiming",
    "Partial",
    "SpeechStarted",
    "StopSpotter",
    "StopWord",
    "file_chunks",
]


@dataclass(frozen=True)
class SpeechStarted:
    """Somebody began to speak.

    Attributes:
        at_s: when, in seconds of sound since the listener began.
    """

    at_s: float


@dataclass(frozen=True)
class Partial:
    """What has been understood so far of an utterance that goes on; it may still change.

    Attributes:
        text: as in `Transcript`.
        confidence: as in `Transcript`.
        at_s: how much sound had been heard, in seconds.
    """

    text: str
    confidence: float
    at_s: float


@dataclass(frozen=True)
class Final:
    """An utterance that has ended.

    Attributes:
        text: what was understood; empty where nothing was (noise, another language).
        confidence: 0 to 1.
        heard: what it would be without a grammar.
        start_s: first sound of the utterance, in seconds since the listener began.
        end_s: its last sound.
        at_s: how much sound had been heard when the end was known; `at_s - end_s` is what waiting
            for the pause costs.
        took_s: seconds of computing between that moment and this event.
    """

    text: str
    confidence: float
    heard: str
    start_s: float
    end_s: float
    at_s: float
    took_s: float


@dataclass(frozen=True)
class StopWord:
    """Somebody said "stop" or "halt". Comes while the utterance goes on, before any `Final`.

    Attributes:
        at_s: how much sound had been heard.
        confidence: of the spotter that it was the word, 0 to 1.
        took_s: seconds of computing for the piece of sound that decided it.
    """

    at_s: float
    confidence: float
    took_s: float


Event = SpeechStarted | Partial | Final | StopWord


class StopSpotter(Protocol):
    """What watches every piece of sound for the stop words, whether or not anything else does."""

    def reset(self) -> None:
        """Forget the past."""
        ...

    def push(self, chunk: Tensor) -> float:
        """Confidence that a stop word has just ended, 0 to 1; chunk is float32 (512,) at 16 kHz."""
        ...

    @property
    def threshold(self) -> float:
        """The confidence from which on it is one."""
        ...


@dataclass(frozen=True)
class ListenerTiming:
    """When an utterance begins and ends.

    Attributes:
        speech_above: probability of speech that begins an utterance.
        silence_below: probability below which a pause begins.
        complete_pause_s: pause that ends an utterance which is a whole command.
        open_pause_s: pause that ends any other.
        before_s: sound kept from before the beginning was noticed.
        partial_every_s: sound between two partial transcripts; 0 for none.
        longest_s: an utterance is cut here.
    """

    speech_above: float = 0.5
    silence_below: float = 0.35
    complete_pause_s: float = 0.096
    open_pause_s: float = 0.64
    before_s: float = 0.25
    partial_every_s: float = 0.4
    longest_s: float = 10.0


class Listener:
    """Turns sound into events. One listener is one stream; it is not thread-safe.

    Args:
        recogniser: what understands the utterances.
        spotter: what watches for the stop words; without one they come as a `Final` only.
        rate_hz: rate of the sound that will be fed; others than 16 kHz are resampled.
        timing: when an utterance begins and ends.

    Raises:
        AudioError: the rate is no rate.

    Example:
        >>> listener = Listener(load_recogniser("sphinx"))
        >>> for chunk in file_chunks("command.wav"):
        ...     for event in listener.feed(chunk):
        ...         print(event)
        >>> for event in listener.finish():
        ...     print(event)
    """

    def __init__(
        self,
        recogniser: Recogniser,
        spotter: StopSpotter | None = None,
        rate_hz: int = RATE_HZ,
        timing: ListenerTiming | None = None,
    ) -> None:
        if not isinstance(rate_hz, int) or not 4_000 <= rate_hz <= 400_000:
            raise AudioError(f"Speech is sampled at 4,000 to 400,000 Hz, got {rate_hz!r}.")
        self.recogniser, self.spotter, self.rate_hz = recogniser, spotter, rate_hz
        self.timing = timing or ListenerTiming()
        self._activity = VoiceActivity()
        self._converter = None if rate_hz == RATE_HZ else RateConverter(rate_hz)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if nothing had been fed."""
        self._activity.reset()
        if self.spotter is not None:
            self.spotter.reset()
        if self._converter is not None:
            self._converter.reset()
        self._rest = torch.zeros(0)
        self._heard: list[Tensor] = []
        self._speaking = False
        self._chunks = 0
        self._pause = 0
        self._since_partial = 0
        self._guess: Transcript | None = None
        self._stopped = 0

    @property
    def heard_s(self) -> float:
        """Seconds of sound heard so far."""
        return self._chunks * CHUNK_S

    def feed(self, chunk: Tensor | NDArray[Any]) -> list[Event]:
        """Hear the next piece of sound.

        Args:
            chunk: (S,) of any length, float in [-1, 1] or int16, at the listener's rate.

        Returns:
            What happened, in order.

        Raises:
            AudioError: malformed, NaN, or not one channel. The listener stays as it was.
        """
        sound = audio_tensor(chunk)
        if sound.ndim != 1:
            raise AudioError(f"Expected one waveform (samples,), got {tuple(sound.shape)}.")
        if self._converter is not None:
            sound = self._converter.push(sound)
        return self._hear_whole_chunks(sound)

    def _hear_whole_chunks(self, sound: Tensor) -> list[Event]:
        sound = torch.cat([self._rest, sound])
        whole = len(sound) // CHUNK * CHUNK
        self._rest = sound[whole:]
        events: list[Event] = []
        for piece in sound[:whole].reshape(-1, CHUNK):
            events += self._hear(piece)
        return events

    def finish(self) -> list[Event]:
        """The sound has ended: the utterance that is under way ends with it.

        Returns:
            Its `Final`, if there is one.
        """
        events: list[Event] = []
        if self._converter is not None:
            events += self._hear_whole_chunks(self._converter.finish())
        if len(self._rest):
            events += self._hear(torch.nn.functional.pad(self._rest, (0, CHUNK - len(self._rest))))
            self._rest = torch.zeros(0)
        if self._speaking:
            events.append(self._end(time.perf_counter()))
        return events

    def _hear(self, piece: Tensor) -> list[Event]:
        started = time.perf_counter()
        self._chunks += 1
        events: list[Event] = []
        if self.spotter is not None:
            events += self._watch_for_stop(self.spotter, piece, started)
        speech = self._activity.push(piece)
        self._heard.append(piece)
        if not self._speaking:
            self._heard = self._heard[-max(1, round(self.timing.before_s / CHUNK_S)) :]
            if speech < self.timing.speech_above:
                return events
            self._speaking, self._pause, self._guess, self._since_partial = True, 0, None, 0
            self._start_s = self.heard_s - CHUNK_S
            events.append(SpeechStarted(self._start_s))
            return events
        return events + self._go_on(speech, started)

    def _watch_for_stop(
        self, spotter: StopSpotter, piece: Tensor, started: float
    ) -> list[StopWord]:
        confidence = spotter.push(piece)
        # One word is one event, however many pieces of sound it is seen in.
        self._stopped = max(0, self._stopped - 1)
        if confidence < spotter.threshold:
            return []
        fresh, self._stopped = self._stopped == 0, round(0.5 / CHUNK_S)
        if not fresh:
            return []
        return [StopWord(self.heard_s, confidence, time.perf_counter() - started)]

    def _go_on(self, speech: float, started: float) -> list[Event]:
        timing = self.timing
        if speech >= timing.silence_below:
            # Speech after a pause makes a guess about the whole utterance void.
            self._pause, self._guess = 0, None
        else:
            self._pause += 1
        if len(self._heard) * CHUNK_S >= timing.longest_s:
            return [self._end(started)]
        if self._pause * CHUNK_S >= timing.open_pause_s:
            return [self._end(started)]
        if self._pause * CHUNK_S >= timing.complete_pause_s:
            guess = self._understand()
            if _complete(guess.text):
                return [self._end(started)]
        elif self._pause == 2:
            # Understood while the pause is still being waited for.
            self._understand()
        self._since_partial += 1
        if timing.partial_every_s and self._since_partial * CHUNK_S >= timing.partial_every_s:
            self._since_partial = 0
            so_far = self._guess or self._transcribe()
            if so_far.text:
                return [Partial(so_far.text, so_far.confidence, self.heard_s)]
        return []

    def _understand(self) -> Transcript:
        if self._guess is None:
            self._guess = self._transcribe()
        return self._guess

    def _transcribe(self) -> Transcript:
        return self.recogniser.transcribe(torch.cat(self._heard), RATE_HZ)

    def _end(self, started: float) -> Final:
        guess = self._understand()
        final = Final(
            guess.text,
            guess.confidence,
            guess.heard,
            self._start_s,
            self.heard_s - self._pause * CHUNK_S,
            self.heard_s,
            time.perf_counter() - started,
        )
        self._speaking, self._guess, self._heard = False, None, []
        self._activity.reset()
        return final


def _complete(text: str) -> bool:
    """Whether nothing has to follow: a stop, or a command each step of which names its place.

    After "first" a second step is expected.
    """
    if is_stop(text):
        return True
    steps = parse_command(text)
    whole = bool(steps) and all(step.zone or step.wall for step in steps)
    return whole and (len(steps) > 1 or not text.startswith("first "))


def file_chunks(path: Path | str, chunk_s: float = 0.1) -> Iterator[NDArray[np.float32]]:
    """A sound file as a stream of pieces at 16 kHz, as a microphone would deliver it.

    Args:
        path: a WAV, FLAC or OGG file.
        chunk_s: length of a piece in seconds.

    Yields:
        float32 (S,).

    Raises:
        AudioError: no such file, not sound, empty, NaN, or longer than ten minutes.
    """
    path = Path(path)
    if path.is_file():
        try:
            seconds = soundfile.info(path).duration
        except soundfile.LibsndfileError:
            seconds = 0.0
        if seconds > LONGEST_S:
            raise AudioError(
                f"{path} lasts {seconds:,.0f} s and at most {LONGEST_S:g} s are taken: cut out the "
                "part with the command."
            )
    audio = read_audio(path, RATE_HZ).numpy()
    step = max(1, round(chunk_s * RATE_HZ))
    for start in range(0, len(audio), step):
        yield audio[start : start + step]
