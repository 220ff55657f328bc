"""A corpus of speech made offline, on disk, with whole voices and a whole engine held out.

A folder `<split>/<engine>-<voice>/<number>.wav` (24 kHz, 16 bits, one channel) with an `index.json`
that names every utterance. The index is written last, so a folder without one is not a corpus.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from multimodal.atomic import atomic_write_bytes
from multimodal.audio.codec import RATE_HZ
from multimodal.audio.engines import ENGINES, Voice, available, speak
from multimodal.audio.sentences import sentences
from multimodal.audio.waveform import resample, write_wav
from multimodal.errors import ConfigError, DatasetError, MissingProgramError

__all__ = ["RATE_HZ", "VOICES", "SpeechCorpus", "Utterance", "record_speech"]

_INDEX = "index.json"
_FORMAT = 1
# An eSpeak voice is an accent and a timbre (`accent+variant`). Neither an accent nor a timbre of
# the held-out voices is heard in training, and flite's speakers are other people altogether.
_TRAIN_ACCENTS = ("en-us", "en-gb", "en-gb-x-rp", "en-gb-x-gbclan", "en-029")
_TRAIN_TIMBRES = (
    "m1", "f1", "m2", "f2", "m3", "f3", "m4", "f5", "m6", "m7", "adam", "Alicia", "belinda",
    "boris", "caleb", "Denis", "edward", "Gene", "Hugo", "iven", "Jacky", "klatt", "klatt2",
    "klatt4", "linda", "marco", "Mario", "max", "miguel", "pablo", "quincy", "rob", "robosoft4",
    "steph", "steph2", "victor", "whisper", "croak", "grandma", "anika",
)  # fmt: skip
_VALIDATION = ("en-us-nyc+f4", "en-us-nyc+m5", "en-us-nyc+paul", "en-us-nyc+steph3")
_TEST = (
    "en-gb-scotland+Andrea", "en-gb-scotland+m8", "en-gb-scotland+Lee", "en-gb-scotland+klatt3",
    "en-gb-x-gbcwmd+aunty", "en-gb-x-gbcwmd+michael", "en-gb-x-gbcwmd+benjamin",
    "en-gb-x-gbcwmd+zac",
)  # fmt: skip

VOICES: Mapping[str, Sequence[Voice]] = {
    "train": (
        *(
            Voice("espeak-ng", f"{_TRAIN_ACCENTS[number % len(_TRAIN_ACCENTS)]}+{timbre}")
            for number, timbre in enumerate(_TRAIN_TIMBRES)
        ),
        Voice("festival", "ked_diphone"),
    ),
    "validation": tuple(Voice("espeak-ng", name) for name in _VALIDATION),
    "test": (
        *(Voice("espeak-ng", name) for name in _TEST),
        *(Voice("flite", name) for name in ("kal16", "awb", "rms", "slt")),
    ),
}
# Without this engine there is no corpus; the others make it richer where they are installed.
_REQUIRED_ENGINE = "espeak-ng"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Utterance:
    """One recorded sentence.

    Attributes:
        file: path of the WAV file inside the corpus.
        split: train, validation or test.
        engine: the synthesiser.
        voice: its voice.
        text: what is said.
        samples: length at 24 kHz.
    """

    file: str
    split: str
    engine: str
    voice: str
    text: str
    samples: int


@dataclass(frozen=True)
class SpeechCorpus:
    """Utterances on disk.

    Attributes:
        folder: where they lie.
        utterances: all of them, in a fixed order.
        seed: of the sentences, speeds and pitches.
    """

    folder: Path
    utterances: tuple[Utterance, ...]
    seed: int

    @classmethod
    def open(cls, folder: Path | str) -> SpeechCorpus:
        """Open a corpus written by `record_speech`.

        Raises:
            DatasetError: it is missing, incomplete or damaged.
        """
        folder = Path(folder)
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            if index["format"] != _FORMAT:
                raise DatasetError(f"{folder} has format {index['format']}: record it anew.")
            utterances = tuple(Utterance(**each) for each in index["utterances"])
            seed = int(index["seed"])
        except FileNotFoundError as error:
            raise DatasetError(
                f"There is no speech in {folder}: its {_INDEX} is missing, or its recording was "
                "cut short. Run the same command again."
            ) from error
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{folder / _INDEX} is damaged ({error}): remove the folder and record it anew."
            ) from error
        return cls(folder, utterances, seed)

    def of(self, split: str) -> list[Utterance]:
        """The utterances of a split.

        Raises:
            ConfigError: there is no such split.
        """
        if split not in VOICES:
            raise ConfigError(f"split is {split!r}; expected one of {', '.join(VOICES)}.")
        return [each for each in self.utterances if each.split == split]

    def read(self, utterance: Utterance, start: int = 0, samples: int = -1) -> NDArray[np.float32]:
        """Samples of an utterance.

        Args:
            utterance: one of this corpus.
            start: first sample.
            samples: how many; -1 for all that follow.

        Returns:
            float32 (samples,), shorter where the utterance ends.

        Raises:
            DatasetError: the file is missing or damaged.
        """
        path = self.folder / utterance.file
        try:
            audio: NDArray[np.float32]
            audio, _ = soundfile.read(path, frames=samples, start=start, dtype="float32")
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise DatasetError(
                f"{path} cannot be read ({error}): remove {self.folder} and record it anew."
            ) from error
        return audio


def record_speech(
    folder: Path | str, sentences_each: Mapping[str, int], seed: int = 0
) -> SpeechCorpus:
    """Make the corpus, or go on where an earlier run stopped, or open it where it is done.

    Args:
        folder: where to write.
        sentences_each: split to the sentences of each of its voices; a split left out is not made.
            A longer recording starts with the sentences of a shorter one.
        seed: of the sentences, speeds and pitches.

    Returns:
        The corpus. Voices of engines that are not installed are left out, with a warning.

    Raises:
        ConfigError: the folder holds another corpus, or there is no such split.
        MissingProgramError: espeak-ng is not installed.
        DiskFullError: the disk is full; the next run goes on.
    """
    folder = Path(folder)
    if unknown := sentences_each.keys() - VOICES.keys():
        raise ConfigError(f"there is no split {sorted(unknown)}; expected {', '.join(VOICES)}")
    if (folder / _INDEX).exists():
        corpus = SpeechCorpus.open(folder)
        _refuse_another(corpus, sentences_each, seed)
        return corpus
    if not available(_REQUIRED_ENGINE):
        raise MissingProgramError(
            f"{ENGINES[_REQUIRED_ENGINE].program} makes the speech and is not installed: "
            f"`apt-get install {ENGINES[_REQUIRED_ENGINE].packages}`."
        )
    utterances: list[Utterance] = []
    for split, count in sentences_each.items():
        for number, voice in enumerate(VOICES[split]):
            if available(voice.engine):
                utterances += _record_voice(folder, split, voice, count, f"{seed}/{split}/{number}")
            else:
                packages = ENGINES[voice.engine].packages
                _log.warning("no %s here (apt-get install %s)", voice, packages)
    index = {"format": _FORMAT, "seed": seed, "utterances": [asdict(each) for each in utterances]}
    atomic_write_bytes(folder / _INDEX, (json.dumps(index, indent=1) + "\n").encode())
    return SpeechCorpus.open(folder)


def _refuse_another(corpus: SpeechCorpus, sentences_each: Mapping[str, int], seed: int) -> None:
    """Compare a corpus with what was asked for; engines may come and go, the first one may not."""
    found = dict.fromkeys(VOICES, 0)
    for each in corpus.utterances:
        found[each.split] += each.engine == _REQUIRED_ENGINE
    wanted = {
        split: sentences_each.get(split, 0)
        * sum(voice.engine == _REQUIRED_ENGINE for voice in voices)
        for split, voices in VOICES.items()
    }
    if corpus.seed != seed or found != wanted:
        raise ConfigError(
            f"{corpus.folder} holds another corpus: sentences {found} of seed {corpus.seed}, "
            f"{wanted} of seed {seed} were asked for. Name another folder, or remove this one."
        )


def _record_voice(folder: Path, split: str, voice: Voice, count: int, seed: str) -> list[Utterance]:
    rng = random.Random(seed)
    spoken: list[Utterance] = []
    texts = islice(sentences(rng.getrandbits(32)), count)
    for number, text in enumerate(texts):
        speed, pitch = rng.uniform(0.8, 1.3), rng.randint(20, 80)
        name = f"{split}/{voice.engine}-{voice.name}/{number:04d}.wav"
        path = folder / name
        if not path.exists():
            audio, rate_hz = speak(text, voice, speed, pitch)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Resampling overshoots at full scale, which a file of 16 bits cannot hold.
            audio = resample(audio, rate_hz, RATE_HZ)
            write_wav(path, audio / max(1.0, float(audio.abs().max())), RATE_HZ)
        samples = int(soundfile.info(path).frames)
        spoken.append(Utterance(name, split, voice.engine, voice.name, text, samples))
    return spoken
