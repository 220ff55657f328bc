"""A corpus of spoken commands made offline, with whole engines and whole voices held out.

Each voice is one file `<split>/<engine>-<voice>.wav` (16 kHz, 16 bits) of utterances one after the
other, and a `.json` beside it that says which is which and is written last, so that a recording
that was cut short goes on voice by voice.
"""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from multimodal.atomic import atomic_write_bytes
from multimodal.audio.engines import ENGINES, Voice, available, speak_many
from multimodal.audio.foreign import SPEAKERS
from multimodal.audio.log_mel import RATE_HZ
from multimodal.audio.speech import VOICES
from multimodal.audio.waveform import resample, write_wav
from multimodal.errors import ConfigError, DatasetError, MissingProgramError
from multimodal.speech.language import LIKE_STOP, STOP_WORDS, command, normal_text, spoken_texts

__all__ = [
    "COMMAND_VOICES",
    "HEARD_SPEAKERS",
    "Spoken",
    "SpokenCommands",
    "engine_weights",
    "open_commands",
    "record_commands",
    "together",
]

_FORMAT = 1
_REQUIRED_ENGINE = "espeak-ng"
_ACCENTS = ("en-us", "en-gb", "en-gb-x-rp", "en-gb-x-gbclan", "en-029")
_TIMBRES = tuple(
    voice.name.partition("+")[2] for voice in VOICES["train"] if voice.engine == "espeak-ng"
)
# More of eSpeak's timbres, none of them one of the held-out voices'.
_MORE_TIMBRES = (
    "Alex", "Andy", "Annie", "antonio", "david", "Demonic", "Diogo", "ed", "edward2", "Gene2",
    "gustave", "Henrique", "john", "kaukovalta", "marcelo", "Mike", "norbert", "pedro",
    "RicishayMax", "robert", "sandro", "shelby", "travis", "Storm", "iven2", "grandpa", "announcer",
    "Nguyen", "Tweaky", "UniRobot", "robosoft2", "robosoft5", "RicishayMax3", "iven4",
)  # fmt: skip
# Of the real people whose language is another one this one is for validation.
_STRANGER = "hy_fi_mv_diphone"
# RHVoice's: two whose language is English, then people who speak Russian, Ukrainian and Kyrgyz, and
# one of the former for validation. Its slt is festival's; its alan is left out, for he is flite's
# awb, of the test, and so are those whose licences forbid some uses.
_RHVOICE = (
    "bdl", "slt", "aleksandr", "anna", "elena", "irina", "anatol", "natalia", "azamat", "nazgul",
)  # fmt: skip
_UNHEARD = "clb"
# The speakers of flite's kal16 and slt are those of two of festival's voices, so only the other two
# of flite's are strangers in every respect.
COMMAND_VOICES: Mapping[str, Sequence[Voice]] = {
    "train": (
        *(
            Voice("espeak-ng", f"{_ACCENTS[(number + shift) % len(_ACCENTS)]}+{timbre}")
            for shift in (0, 2)
            for number, timbre in enumerate(_TIMBRES)
        ),
        Voice("festival", "ked_diphone"),
        Voice("festival", "kal_diphone"),
        Voice("festival", "cmu_us_slt_arctic_hts"),
        Voice("pico", "en-US"),
        Voice("pico", "en-GB"),
        *(
            Voice("espeak-ng", f"{_ACCENTS[number % len(_ACCENTS)]}+{timbre}")
            for number, timbre in enumerate(_MORE_TIMBRES)
        ),
        *(Voice("foreign", name) for name in SPEAKERS if name != _STRANGER),
        *(Voice("rhvoice", name) for name in _RHVOICE),
    ),
    "validation": (
        *VOICES["validation"],
        Voice("foreign", _STRANGER),
        Voice("rhvoice", _UNHEARD),
    ),
    "test": (
        *(voice for voice in VOICES["test"] if voice.engine == "espeak-ng"),
        *(Voice("flite", name) for name in ("awb", "rms", "kal16", "slt")),
        Voice("piper", "joe"),
    ),
}
HEARD_SPEAKERS = frozenset({"kal16", "slt"})
"""Voices of the test whose speaker is heard in training, in the speech of another engine."""
# An engine with few voices says more with each of them.
_TIMES = {
    "espeak-ng": 1,
    "festival": 6,
    "flite": 4,
    "foreign": 4,
    "pico": 8,
    "piper": 2,
    "rhvoice": 6,
}
# How often an engine is heard; the others once.
_SHARES = {"espeak-ng": 2, "foreign": 2, "rhvoice": 3}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spoken:
    """One utterance of a corpus.

    Attributes:
        file: path of the voice's WAV file inside the corpus.
        split: train, validation or test.
        engine: the synthesiser.
        voice: its voice.
        text: what is said, as a recogniser writes it.
        start: its first sample in the file.
        samples: its length at 16 kHz.
    """

    file: str
    split: str
    engine: str
    voice: str
    text: str
    start: int
    samples: int


@dataclass(frozen=True)
class SpokenCommands:
    """A corpus on disk.

    Attributes:
        folder: where it lies.
        utterances: all of them, in a fixed order.
    """

    folder: Path
    utterances: tuple[Spoken, ...]

    def of(self, split: str) -> list[Spoken]:
        """The utterances of a split.

        Raises:
            ConfigError: there is no such split.
        """
        if split not in COMMAND_VOICES:
            raise ConfigError(f"split is {split!r}; expected one of {', '.join(COMMAND_VOICES)}.")
        return [each for each in self.utterances if each.split == split]

    def read(self, spoken: Spoken) -> NDArray[np.float32]:
        """An utterance's samples.

        Returns:
            float32 (samples,) at 16 kHz.

        Raises:
            DatasetError: the file is missing or damaged.
        """
        path = self.folder / spoken.file
        try:
            audio: NDArray[np.float32]
            audio, _ = soundfile.read(
                path, frames=spoken.samples, start=spoken.start, dtype="float32"
            )
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise DatasetError(
                f"{path} cannot be read ({error}): remove {self.folder} and record it anew."
            ) from error
        return audio


def together(*corpora: SpokenCommands) -> SpokenCommands:
    """Several corpora as one."""
    utterances = tuple(
        replace(each, file=str(corpus.folder.absolute() / each.file))
        for corpus in corpora
        for each in corpus.utterances
    )
    return SpokenCommands(corpora[0].folder, utterances)


def engine_weights(utterances: Sequence[Spoken]) -> NDArray[np.float64]:
    """How often to hear each utterance, so that no engine drowns the others.

    eSpeak has dozens of voices that are all of a kind, and foreigners are many but have accents;
    each of these counts as much as two other engines. RHVoice's are many people: as much as three.

    Returns:
        float64 (N,), of sum 1.
    """
    counts = Counter(each.engine for each in utterances)
    weights = np.array([_SHARES.get(each.engine, 1) / counts[each.engine] for each in utterances])
    normal: NDArray[np.float64] = weights / weights.sum()
    return normal


def record_commands(
    folder: Path | str,
    sentences_each: Mapping[str, int],
    seed: int = 0,
    workers: int = 1,
    kind: str = "commands",
) -> SpokenCommands:
    """Make a corpus, or go on where an earlier run stopped, or open it where it is done.

    Args:
        folder: where to write.
        sentences_each: split to the sentences of each of its eSpeak voices; voices of engines that
            have few of them say several times as many.
        seed: of the sentences, speeds and pitches.
        workers: voices that are recorded at the same time.
        kind: `commands`, or `words`: the stop words one by one, and words like them.

    Returns:
        The corpus. Voices of engines that are not installed are left out, with a warning.

    Raises:
        ConfigError: there is no such split, or the folder holds another corpus.
        MissingProgramError: espeak-ng is not installed.
        DiskFullError: the disk is full; the next run goes on.
    """
    folder = Path(folder)
    if unknown := sentences_each.keys() - COMMAND_VOICES.keys():
        raise ConfigError(f"there is no split {sorted(unknown)}: {', '.join(COMMAND_VOICES)}")
    jobs, found = [], []
    for split, each in sentences_each.items():
        for number, voice in enumerate(COMMAND_VOICES[split]):
            count = each * _TIMES[voice.engine]
            key = f"{seed}/{split}/{number}"
            path = folder / split / f"{voice.engine}-{voice.name}.json"
            if path.exists():
                found.append((path, count))
            elif available(voice.engine, voice.name):
                jobs.append((folder, split, voice, count, key, kind))
                found.append((path, count))
            elif voice.engine == _REQUIRED_ENGINE:
                raise MissingProgramError(
                    f"{voice.engine} makes the speech and is not installed: "
                    f"`{ENGINES[voice.engine].install}`."
                )
            else:
                _log.warning("no %s here (%s)", voice, ENGINES[voice.engine].install)
    _record_all(jobs, workers)
    utterances: list[Spoken] = []
    for path, count in found:
        utterances += _read_voice(path, seed, count)
    return SpokenCommands(folder, tuple(utterances))


def open_commands(folder: Path | str) -> SpokenCommands:
    """A corpus as it lies there, however many sentences it was recorded with.

    Raises:
        DatasetError: there is none, or it is damaged.
    """
    folder = Path(folder)
    found = [path for split in COMMAND_VOICES for path in sorted((folder / split).glob("*.json"))]
    if not found:
        raise DatasetError(f"{folder} has no spoken commands: `worldmodel train` records them.")
    return SpokenCommands(folder, tuple(each for path in found for each in _account(path)[1]))


def _record_all(jobs: list[tuple[Path, str, Voice, int, str, str]], workers: int) -> None:
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            _record_voice(*job)
        return
    with ProcessPoolExecutor(workers) as pool:
        for done in [pool.submit(_record_voice, *job) for job in jobs]:
            done.result()


def _texts(split: str, seed: int) -> Iterator[str]:
    """The test is about commands: three of four have one step, the fourth has two."""
    if split != "test":
        yield from spoken_texts(seed)
    rng = random.Random(seed)
    number = 0
    while True:
        number += 1
        yield command(rng, 2 if number % 4 == 0 else 1)


def _words(split: str, seed: int) -> Iterator[str]:
    """Stop words and, save in the test, as many others that sound like them."""
    rng = random.Random(seed)
    while True:
        yield from STOP_WORDS
        if split != "test":
            yield rng.choice(LIKE_STOP)
            yield rng.choice(LIKE_STOP)


def _record_voice(folder: Path, split: str, voice: Voice, count: int, key: str, kind: str) -> None:
    rng = random.Random(key)
    made = _words if kind == "words" else _texts
    texts = list(islice(made(split, rng.getrandbits(32)), count))
    speeds = [rng.uniform(0.8, 1.3) for _ in texts]
    pitches = [rng.randint(20, 80) for _ in texts]
    pieces: list[NDArray[np.float32]] = []
    rows, start = [], 0
    said = speak_many(texts, voice, speeds, pitches)
    for text, (audio, rate_hz) in zip(texts, said, strict=True):
        piece: NDArray[np.float32] = resample(audio, rate_hz, RATE_HZ).numpy()
        # Resampling overshoots at full scale, which a file of 16 bits cannot hold.
        peak = max(1.0, float(np.abs(piece).max()))
        pieces.append(np.asarray(piece / peak, np.float32))
        rows.append({"text": normal_text(text), "start": start, "samples": len(piece)})
        start += len(piece)
    path = folder / split / f"{voice.engine}-{voice.name}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, torch.from_numpy(np.concatenate(pieces)), RATE_HZ)
    account = {"format": _FORMAT, "seed": key, "voice": asdict(voice), "utterances": rows}
    atomic_write_bytes(path.with_suffix(".json"), (json.dumps(account) + "\n").encode())


def _read_voice(path: Path, seed: int, count: int) -> list[Spoken]:
    account, utterances = _account(path)
    if not account["seed"].startswith(f"{seed}/"):
        raise ConfigError(
            f"{path} was recorded with seed {account['seed']}; seed {seed} was asked for. "
            "Name another folder, or remove this one."
        )
    if len(utterances) != count:
        raise ConfigError(
            f"{path} has {len(utterances)} utterances and {count} were asked for. Name another "
            "folder, or ask for as many sentences as were recorded."
        )
    return utterances


def _account(path: Path) -> tuple[dict[str, Any], list[Spoken]]:
    try:
        account = json.loads(path.read_text(encoding="utf-8"))
        if account["format"] != _FORMAT or not isinstance(account["seed"], str):
            raise ConfigError(f"{path} is of another version: remove it and record it anew.")
        voice = Voice(**account["voice"])
        file = f"{path.parent.name}/{path.stem}.wav"
        utterances = [
            Spoken(file, path.parent.name, voice.engine, voice.name, **row)
            for row in account["utterances"]
        ]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is damaged ({error}): remove it and record it anew.") from error
    return account, utterances
