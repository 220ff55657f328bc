"""Instructions that are spoken, from a file or a microphone, and replies that are."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from multimodal.speech import (
    Final,
    Listener,
    Mouth,
    StopWord,
    file_chunks,
    is_stop,
    microphone_chunks,
)

__all__ = ["listener", "spoken_instruction", "spoken_instructions", "spoken_reply"]

Heard = dict[str, float]


def listener() -> Listener:
    """A listener with the shipped recogniser and stop-word spotter.

    Raises:
        CheckpointError: they are missing or altered.
    """
    from worldmodel.ears import load_ears

    ears = load_ears()
    return Listener(ears.recogniser, ears.spotter)


def spoken_instruction(path: Path | str, ears: Listener | None = None) -> tuple[str, Heard]:
    """What is said in a sound file, and how long understanding took.

    Utterances with pauses between them become one instruction, a sentence each; a stop word makes
    everything else void.

    Args:
        path: a WAV, FLAC or OGG file.
        ears: a listener; the shipped one when not given.

    Raises:
        AudioError: no such file, no sound, or too long.
    """
    ears = ears or listener()
    finals: list[Final] = []
    stopped = False
    for chunk in file_chunks(path):
        for event in ears.feed(chunk):
            stopped = stopped or isinstance(event, StopWord)
            finals += [event] if isinstance(event, Final) else []
    finals += [event for event in ears.finish() if isinstance(event, Final)]
    ears.reset()
    said = [final for final in finals if final.text]
    heard = {"utterances": float(len(said))}
    if said:
        last = said[-1]
        heard["endpoint_ms"] = round(1000 * (last.at_s - last.end_s), 1)
        heard["recognise_ms"] = round(1000 * last.took_s, 1)
        heard["confidence"] = round(min(final.confidence for final in said), 3)
    return ("stop" if stopped else ". ".join(final.text for final in said)), heard


def spoken_instructions() -> Iterator[tuple[str, Heard, threading.Event]]:
    """What is said to the microphone, one instruction after the other.

    Listening goes on in a thread while an instruction is carried out: "stop" or "halt" sets the
    event that came with it, without waiting for anything else.

    Raises:
        AudioError: there is no microphone.
        MissingExtraError: the extra for microphones is not installed.
    """
    said: queue.Queue[Final | Exception] = queue.Queue()
    stop = threading.Event()
    ears = listener()

    def listen() -> None:
        try:
            for chunk in microphone_chunks():
                for event in ears.feed(chunk):
                    if isinstance(event, StopWord):
                        stop.set()
                    elif isinstance(event, Final) and event.text and not is_stop(event.text):
                        said.put(event)
        except Exception as error:  # noqa: BLE001  it is raised where instructions are awaited
            said.put(error)

    threading.Thread(target=listen, daemon=True, name="ears").start()
    while True:
        final = said.get()
        if isinstance(final, Exception):
            raise final
        stop.clear()
        waited = 1000 * (final.at_s - final.end_s)
        yield (
            final.text,
            {"endpoint_ms": round(waited, 1), "recognise_ms": round(1000 * final.took_s, 1)},
            stop,
        )


def spoken_reply(text: str, path: Path) -> float:
    """Say a reply into a sound file; returns the seconds that took, also where nobody can speak."""
    begin = time.perf_counter()
    Mouth().say(text).write(path)
    return time.perf_counter() - begin
