"""`worldmodel evaluate model=codec`: bitrate against distortion, on voices never heard.

Sound is measured as it is: no level is matched, no pause is cut. The scale-invariant ratio judges
the waveform, the mel distance what the ear resolves, and the use of the codebooks what the bits are
spent on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track
from torch import Tensor

from multimodal.audio.codec import HOP, RATE_HZ, AudioCodec
from multimodal.audio.sounds import KINDS, synthetic_sound
from multimodal.audio.speech import record_speech
from multimodal.audio.streaming import StreamDecoder, StreamEncoder
from multimodal.audio.waveform import read_audio
from multimodal.errors import DatasetError
from worldmodel.codec import load_codec
from worldmodel.evaluation.codec_measures import Score, codebook_use, distances, measure
from worldmodel.evaluation.codec_page import write_page
from worldmodel.evaluation.opus import opus_available, through_opus
from worldmodel.intervals import ratio_interval
from worldmodel.runs import RunDirectory

__all__ = ["evaluate"]

_SOUNDS_EACH = 8
_OPUS_BPS = (6_000, 12_000)
_SPEECH = ("espeak-ng", "flite")
_SOUND_SUFFIXES = {".wav", ".flac", ".ogg"}


def evaluate(cfg: DictConfig, directory: RunDirectory) -> dict[str, float]:
    """Measure a codec and write `codec.json`, `curve.png`, `spectrograms.png` and `index.html`.

    Args:
        cfg: of the verb `evaluate`.
        directory: the run's folder.

    Returns:
        The figures of `metrics.json`; `codec_si_sdr_db` is the mean over held-out utterances with
        all levels, and names that end in a digit are for so many levels.

    Raises:
        CheckpointError: the checkpoint is missing, altered, or not a codec.
        DatasetError: `recordings` names no folder of sound files.
        MissingProgramError: the held-out speech has to be made and espeak-ng is not installed.
    """
    codec = load_codec(cfg.checkpoint or "codec")
    sounds = _held_out_speech(cfg)
    groups: dict[str, list[Score]] = {}
    for group, audios in sounds.items():
        groups[group] = [measure(codec, audio) for audio in _shown(audios, f"{group} speech")]
    speech = [score for group in _SPEECH for score in groups.get(group, [])]
    curve = _curve(codec, speech, cfg.resamples)
    use = codebook_use([score.ids for score in speech], codec.config.codes)
    streaming = _streaming(codec, next(iter(sounds.values()))[0])
    figures = _figures(curve, use, streaming)
    for group, scores in groups.items():
        name = group.replace("-ng", "").replace("-", "_")
        figures[f"codec_si_sdr_db_{name}"] = _mean(scores, lambda score: score.si_sdr_db[-1])
        figures[f"codec_mel_db_{name}"] = _mean(scores, lambda score: score.mel_db[-1])
    opus = _opus([audio for group in _SPEECH for audio in sounds.get(group, [])])
    for point in opus:
        name = f"codec_opus_{point['bitrate_bps']}"
        figures |= {f"{name}_{key}": point[key] for key in ("si_sdr_db", "mel_db")}
    report = {
        "utterances": {group: len(scores) for group, scores in groups.items()},
        "curve": curve,
        "codebooks": use,
        "streaming": streaming,
        "opus": opus,
        "other_sounds": _other_sounds(codec),
    }
    directory.write_json("codec.json", report)
    write_page(directory.path, codec, report, {group: each[0] for group, each in sounds.items()})
    return figures


def _shown(audios: Sequence[Tensor], what: str) -> Iterable[Tensor]:
    """The sounds, with a bar of how many are done."""
    return track(audios, what, console=Console(stderr=True), transient=True)


def _held_out_speech(cfg: DictConfig) -> dict[str, list[Tensor]]:
    """Waveforms (samples,) of each engine's held-out voices, and of the user's recordings."""
    mine = None if cfg.recordings is None else _recordings(Path(cfg.recordings))
    corpus = record_speech(cfg.speech, {"test": int(cfg.sentences)})
    groups: dict[str, list[Tensor]] = {}
    for utterance in corpus.of("test"):
        audio = torch.from_numpy(corpus.read(utterance))
        groups.setdefault(utterance.engine, []).append(audio)
    return groups if mine is None else {**groups, "recordings": mine}


def _recordings(folder: Path) -> list[Tensor]:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SOUND_SUFFIXES)
    audios = [read_audio(path, RATE_HZ) for path in paths]
    # A ratio to the energy of silence means nothing.
    audible = [audio for audio in audios if float(audio.abs().max()) > 1e-3]
    if not audible:
        suffixes = ", ".join(sorted(_SOUND_SUFFIXES))
        raise DatasetError(f"recordings={folder} holds no audible sound file ({suffixes}).")
    return audible


def _mean(scores: Sequence[Score], value: Callable[[Score], float]) -> float:
    return float(np.mean([value(score) for score in scores]))


def _curve(codec: AudioCodec, scores: Sequence[Score], resamples: int) -> list[dict[str, Any]]:
    """One point for each number of levels, with intervals over utterances."""
    points = []
    for level in range(codec.config.levels):
        point: dict[str, Any] = {
            "levels": level + 1,
            "bitrate_bps": codec.bitrate_bps(level + 1),
        }
        for name in ("si_sdr_db", "mel_db"):
            values = np.array([getattr(score, name)[level] for score in scores])
            interval = ratio_interval(values, resamples=resamples)
            assert interval is not None
            point[name] = interval._asdict()
        points.append(point)
    return points


def _figures(
    curve: Sequence[Mapping[str, Any]],
    use: Mapping[str, Sequence[float]],
    streaming: Mapping[str, float],
) -> dict[str, float]:
    best = curve[-1]
    figures = {
        "codec_si_sdr_db": best["si_sdr_db"]["value"],
        "codec_si_sdr_db_low": best["si_sdr_db"]["low"],
        "codec_si_sdr_db_high": best["si_sdr_db"]["high"],
        "codec_mel_db": best["mel_db"]["value"],
        "codec_codebook_use": float(np.mean(use["used"])),
        "codec_codebook_use_min": float(np.min(use["used"])),
        "codec_perplexity": float(np.mean(use["perplexity"])),
        "codec_bitrate_bps": best["bitrate_bps"],
        "codec_utterances": float(best["si_sdr_db"]["count"]),
    }
    for point in curve:
        figures[f"codec_si_sdr_db_{point['levels']}"] = point["si_sdr_db"]["value"]
        figures[f"codec_mel_db_{point['levels']}"] = point["mel_db"]["value"]
    return figures | {f"codec_{name}": value for name, value in streaming.items()}


def _opus(audios: Sequence[Tensor]) -> list[dict[str, float]]:
    """The same speech through Opus, at our bitrate and at twice as much; empty without Opus."""
    if not opus_available():
        return []
    points = []
    for bitrate_bps in _OPUS_BPS:
        name = f"Opus at {bitrate_bps / 1000:g} kbit/s"
        pairs = [
            distances(through_opus(each, RATE_HZ, bitrate_bps), each)
            for each in _shown(audios, name)
        ]
        ratio_db, mel_db = np.array(pairs).mean(0)
        points.append(
            {"bitrate_bps": bitrate_bps, "si_sdr_db": float(ratio_db), "mel_db": float(mel_db)}
        )
    return points


@torch.no_grad()
def _streaming(codec: AudioCodec, audio: Tensor) -> dict[str, float]:
    """Hop by hop against in one piece, and the time a hop takes.

    Returns:
        streaming_ids_equal (share), streaming_difference (largest of the samples), hop_cpu_ms
        (median to code and decode a hop of 13.3 ms), realtime_factor (seconds of sound coded and
        decoded by a second of CPU time, in one piece). CPU time is the same on a busy machine.
    """
    batch = audio[None, : len(audio) // HOP * HOP]
    started_s = time.process_time()
    ids = codec.quantize(codec.encode(batch))
    whole = codec.decode(ids)
    whole_s = time.process_time() - started_s
    encoder, decoder = StreamEncoder(codec), StreamDecoder(codec)
    coded, heard, times_s = [], [], []
    for hop in batch.split(HOP, 1):
        started_s = time.process_time()
        coded.append(encoder.push(hop))
        heard.append(decoder.push(coded[-1]))
        times_s.append(time.process_time() - started_s)
    same = torch.cat(coded, 1) == ids
    # Codes apart by rounding would spoil the comparison of the sound, which is that of the decoder.
    again = torch.cat([StreamDecoder(codec).push(ids)], 1)
    return {
        "streaming_ids_equal": float(same.float().mean()),
        "streaming_difference": float(
            max((torch.cat(heard, 1) - whole).abs().max(), (again - whole).abs().max())
        ),
        "hop_cpu_ms": 1000 * float(np.median(times_s)),
        "realtime_factor": batch.shape[1] / RATE_HZ / whole_s,
    }


@torch.no_grad()
def _other_sounds(codec: AudioCodec) -> dict[str, float]:
    """Mean SI-SDR in dB of sounds that are not speech; for silence the peak of what comes out."""
    results = {}
    for kind in KINDS:
        rng = np.random.default_rng(0)
        made = [synthetic_sound(rng, RATE_HZ, RATE_HZ, kind) for _ in range(_SOUNDS_EACH)]
        audios = [torch.from_numpy(0.5 * sound) for sound in made]
        if kind == "silence":
            ids = codec.quantize(codec.encode(audios[0][None]))
            results["silence_peak"] = float(codec.decode(ids).abs().max())
        else:
            scores = [measure(codec, audio) for audio in audios]
            results[f"{kind}_si_sdr_db"] = _mean(scores, lambda score: score.si_sdr_db[-1])
    return results
