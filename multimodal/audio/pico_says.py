"""SVOX Pico: `python pico_says.py VOICE SPEED PITCH TEXT_FILE WAV_FILE`, and many texts at once.

It imports nothing of the project, so that a sentence costs the start of an interpreter and no more.
"""

import sys
import sysconfig
import wave
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["RATE_HZ", "percents", "say"]

RATE_HZ = 16_000


def say(voice: str, said: Iterable[tuple[str, int, int]]) -> Iterator[bytes]:
    """Say texts in a voice, `en-US` or `en-GB`.

    Args:
        voice: its name.
        said: each text with its speed and pitch in percent, 100 being the voice's own.

    Yields:
        Samples of 16 bits at 16 kHz.
    """
    import ttspico

    # Its voices are installed beside the environment's other data.
    languages = Path(sysconfig.get_path("data")) / "languages"
    engine = ttspico.TtsEngine(voice, f"{languages}/")
    # At its full volume it clips.
    engine.volume = 50
    for text, speed, pitch in said:
        engine.rate, engine.pitch = speed, pitch
        yield engine.speak(text)


def percents(speed: float, pitch: int) -> tuple[int, int]:
    """Speed, and pitch: two octaves from the lowest to the highest, of 0 and 99."""
    return round(100 * speed), round(100 * 2 ** ((pitch - 50) / 50))


def _main(voice: str, speed: str, pitch: str, text: str, wav: str) -> None:
    lines = Path(text).read_text(encoding="utf-8")
    with wave.open(wav, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(next(say(voice, [(lines, int(speed), int(pitch))])))


if __name__ == "__main__":
    _main(*sys.argv[1:])
