"""The microphone as a stream of pieces of sound; sounddevice is an extra."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.audio.log_mel import RATE_HZ
from multimodal.errors import AudioError, MissingExtraError

__all__ = ["microphone_chunks"]


def microphone_chunks(
    seconds: float | None = None, chunk_s: float = 0.032, device: int | str | None = None
) -> Iterator[NDArray[np.float32]]:
    """Hear the microphone, until the generator is closed.

    Args:
        seconds: how long; None never ends.
        chunk_s: length of a piece in seconds.
        device: sounddevice's number or name of the microphone; None takes the system's.

    Yields:
        float32 (S,) at 16 kHz.

    Raises:
        MissingExtraError: sounddevice or PortAudio is not installed.
        AudioError: there is no microphone, or it does not deliver 16 kHz.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise MissingExtraError(
            f"The microphone needs sounddevice and PortAudio ({error}): `pip install "
            "'worldmodel[microphone]'`, and on Linux `apt-get install libportaudio2`. "
            "Without a microphone, audio=FILE.wav hears a file."
        ) from error
    heard: queue.Queue[NDArray[np.float32]] = queue.Queue()

    def keep(samples: NDArray[np.float32], *_: Any) -> None:
        heard.put(samples[:, 0].copy())

    size = max(1, round(chunk_s * RATE_HZ))
    try:
        stream = sounddevice.InputStream(
            RATE_HZ, size, device, channels=1, dtype="float32", callback=keep
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise AudioError(
            f"No microphone can be opened ({error}): plug one in, or hear a file with "
            "audio=FILE.wav."
        ) from error
    with stream:
        count = 0
        while seconds is None or count * chunk_s < seconds:
            yield heard.get()
            count += 1
