"""Ears and mouth: speech to text, stop words, and spoken replies, on two cores and offline.

Hearing a file or a microphone:

    ears = worldmodel.ears.load_ears()             # the shipped recogniser and stop-word spotter
    listener = Listener(ears.recogniser, ears.spotter)
    for chunk in file_chunks("command.wav"):       # or microphone_chunks()
        for event in listener.feed(chunk):         # SpeechStarted | Partial | Final | StopWord
            ...
    events = listener.finish()

`load_recogniser("sphinx")`, or the name or folder of any Whisper, Moonshine or CTC model, gives
another `Recogniser` for the same `Listener`. `Mouth().say(text)` is the spoken reply.
"""

from multimodal.speech.language import (
    STOP_WORDS,
    Step,
    command,
    is_stop,
    normal_text,
    parse_command,
)
from multimodal.speech.listener import (
    Event,
    Final,
    Listener,
    ListenerTiming,
    Partial,
    SpeechStarted,
    StopSpotter,
    StopWord,
    file_chunks,
)
from multimodal.speech.microphone import microphone_chunks
from multimodal.speech.mouth import Mouth, Spoken
from multimodal.speech.recognisers import load_recogniser
from multimodal.speech.transcript import LONGEST_S, Recogniser, Transcript

__all__ = [
    "LONGEST_S",
    "STOP_WORDS",
    "Event",
    "Final",
    "Listener",
    "ListenerTiming",
    "Mouth",
    "Partial",
    "Recogniser",
    "SpeechStarted",
    "Spoken",
    "Step",
    "StopSpotter",
    "StopWord",
    "Transcript",
    "command",
    "file_chunks",
    "is_stop",
    "load_recogniser",
    "microphone_chunks",
    "normal_text",
    "parse_command",
]
