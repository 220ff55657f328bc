"""Instructions that are spoken, from a file or a microphone, and replies that are."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from transformers.utils import logging

from multimodal.speech import (
    Final,
    Listener,
    Mouth,
    StopWord,
    file_chunks,
    is_stop,
    load_recogniser,
    microphone_chunks,
)
from worldmodel.loading_bars import without_bars

__all__ = ["listener", "spoken_instruction", "spoken_instructions", "spoken_reply"]

Heard = dict[str, float]


def listener(name: str = "ears") -> Listener:
    """A listener with its stop-word spotter.

    Args:
        name: "ears" for the shipped recogniser, or what `load_recogniser` knows: "sphinx", or the
            name or folder of a Whisper, Moonshine or CTC model.

    Raises:
        CheckpointError: the recogniser is missing or altered.
    """
    from worldmodel.ears import load_ears

    with without_bars(logging):
        ears = load_ears()
    recogniser = ears.recogniser if name == "ears" else load_recogniser(name)
    return Listener(recogniser, ears.spotter)


def spoken_instruction(path: Path | str, ears: Listener) -> tuple[str, Heard]:
    """What is said in a sound file, and how long understanding took.

    Utterances with pauses between them become one instruction, a sentence each; a stop word makes
    everything else void.

    Args:
        path: a WAV, FLAC or OGG file.
        ears: a listener; it is reset afterwards.

    Raises:
        AudioError: no such file, no sound, or too long.
    """
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


def spoken_instructions(ears: Listener) -> Iterator[tuple[str, Heard, threading.Event]]:
    """What is said to the microphone, one instruction after the other.

    Listening goes on in a thread while an instruction is carried out: "stop" or "halt" sets the
    event that came with it, without waiting for anything else.

    Args:
        ears: a listener; it belongs to the thread from now on.

    Raises:
        AudioError: there is no microphone.
        MissingExtraError: the extra for microphones is not installed.
    """
    said: queue.Queue[Final | Exception] = queue.Queue()
    stop = threading.Event()

    def listen() -> None:
        try:
            for chunk in microphone_chunks():
                for event in ears.feed(chunk):
                    if isinstance(event, StopWord) or (
                        isinstance(event, Final) and is_stop(event.text)
                    ):
                        stop.set()
                    elif isinstance(event, Final) and event.text:
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
