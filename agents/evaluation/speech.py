"""The same tasks, spoken: in unheard voices, clean and in noise, through the streaming listener."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.acting.planning_agent import PlanningAgent
from agents.evaluation.decisions import decided
from agents.evaluation.tasks import Task
from agents.protocol import Observation
from multimodal.audio.engines import Voice, available, speak
from multimodal.audio.log_mel import RATE_HZ
from multimodal.audio.waveform import read_audio, resample
from multimodal.errors import AudioError, DatasetError, MissingProgramError
from multimodal.speech import Final as Heard
from multimodal.speech import Listener, normal_text
from multimodal.speech.corpus import COMMAND_VOICES
from multimodal.speech.disturb import add_noise, babble, coloured_noise

__all__ = ["LEVELS_DB", "Spoken", "recorded", "say_tasks", "unheard_voices"]

LEVELS_DB: Final[dict[str, float | None]] = {"clean": None, "20db": 20, "10db": 10, "5db": 5}
"""Names of the conditions and the power of speech over that of the noise, None without noise."""
_TRAINED_ENGINES: Final = {voice.engine for voice in COMMAND_VOICES["train"]}
_PIECE: Final = RATE_HZ // 10
_PAUSE_S: Final = 0.8
TRANSCRIPTS: Final = "transcripts.tsv"

Sound = NDArray[np.float32]


@dataclass
class Spoken:
    """What came of tasks that were spoken, name of the condition to one number for each.

    Attributes:
        match: 1 where exactly the words that were said were heard.
        understood: 1 where the agent would do exactly what was meant.
        action_ms: end of speech to first action, endpointing included.
    """

    match: dict[str, list[float]] = field(default_factory=dict)
    understood: dict[str, list[float]] = field(default_factory=dict)
    action_ms: list[float] = field(default_factory=list)


def unheard_voices() -> list[Voice]:
    """Voices of the engines that the recogniser never heard.

    Raises:
        MissingProgramError: none of these engines is installed.
    """
    voices = [voice for voice in COMMAND_VOICES["test"] if voice.engine not in _TRAINED_ENGINES]
    found = [voice for voice in voices if available(voice.engine)]
    if not found:
        raise MissingProgramError(
            "Spoken tasks need a speech engine that the recogniser never heard: "
            "`apt-get install flite`, or leave the arm spoken out."
        )
    return found


def say_tasks(
    agent: PlanningAgent,
    world: gym.Env[Any, Any],
    ears: Listener,
    tasks: Sequence[Task],
    timed: int,
    progress: Callable[[Sequence[Task]], Iterable[Task]] = iter,
) -> Spoken:
    """Say every task once in each condition and see what is heard and what would be done.

    Args:
        agent: who understands and acts.
        world: where the scenes are.
        ears: a listener.
        tasks: clear ones.
        timed: for how many tasks the time to the first action is taken, at 20 dB.
        progress: shows how far it is.
    """
    voices, spoken = unheard_voices(), Spoken()
    crowd = [_said(task.text, voices[k % len(voices)]) for k, task in enumerate(tasks[:12])]
    for number, task in enumerate(progress(tasks)):
        sound = _said(task.text, voices[number % len(voices)])
        rng = np.random.default_rng((task.seed, 1))
        frame, _ = world.reset(seed=task.seed)
        for name, ratio_db in LEVELS_DB.items():
            noisy = _in_noise(sound, crowd, ratio_db, rng)
            text, last = hear(ears, noisy)
            spoken.match.setdefault(name, []).append(float(text == normal_text(task.text)))
            answer = decided(agent, Task(task.seed, text, ()), frame)
            spoken.understood.setdefault(name, []).append(float(answer.steps == task.steps))
            if name == "20db" and last is not None and number < timed:
                waited = last.at_s - last.end_s + last.took_s
                begin = time.perf_counter()
                agent.act(Observation(frame, text, 0))
                acted = time.perf_counter() - begin
                spoken.action_ms.append(1000 * (waited + acted))
    return spoken


def hear(ears: Listener, sound: Sound) -> tuple[str, Heard | None]:
    """All that is heard in a sound as one text, and the last utterance."""
    ears.reset()
    finals: list[Heard] = []
    for start in range(0, len(sound), _PIECE):
        events = ears.feed(sound[start : start + _PIECE])
        finals += [event for event in events if isinstance(event, Heard)]
    finals += [event for event in ears.finish() if isinstance(event, Heard)]
    said = [final for final in finals if final.text]
    return normal_text(" ".join(final.text for final in said)), (said[-1] if said else None)


def _said(text: str, voice: Voice) -> Sound:
    """A text in a voice at 16 kHz, with a pause before and behind it."""
    waveform, rate_hz = speak(text, voice)
    sound: Sound = resample(waveform, rate_hz, RATE_HZ).numpy()
    loudest = max(1e-6, float(np.abs(sound).max()))
    quiet = np.zeros(round(_PAUSE_S * RATE_HZ), np.float32)
    return np.concatenate([quiet, 0.5 * sound / loudest, quiet]).astype(np.float32)


def _in_noise(
    sound: Sound, crowd: Sequence[Sound], ratio_db: float | None, rng: np.random.Generator
) -> Sound:
    """Speech among white noise or babble, either for half of the tasks."""
    if ratio_db is None:
        return sound
    white = rng.random() < 0.5
    noise = coloured_noise(rng, len(sound)) if white else babble(rng, crowd, len(sound))
    return add_noise(sound, noise, ratio_db)


def recorded(folder: Path | str) -> Iterator[tuple[Sound, str]]:
    """Anybody's recordings with what is said in them.

    Args:
        folder: sound files and `transcripts.tsv`: name of a file, a tab, the words, on each line.

    Yields:
        float32 (S,) at 16 kHz, and the words.

    Raises:
        DatasetError: no transcripts, or a line that is none.
        AudioError: a file is missing or is no sound.
    """
    path = Path(folder) / TRANSCRIPTS
    if not path.is_file():
        raise DatasetError(
            f"{path} is missing: a line for each recording, its file, a tab, and what is said."
        )
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        name, tab, words = line.partition("\t")
        if not tab or not words.strip():
            raise DatasetError(f"{path}:{number} is {line!r}; expected a file, a tab and words.")
        sound = read_audio(Path(folder) / name.strip(), RATE_HZ).numpy()
        if sound.size == 0:
            raise AudioError(f"{name} is empty; leave it out of {path}.")
        yield sound, words.strip()
