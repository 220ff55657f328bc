"""`worldmodel evaluate model=native`: what one model sees, hears, says, draws and tells of actions.

The question that decides is spoken about a picture: it needs both, so the answers with both stand
beside those with either alone, with another's picture, and with another's question. In every one
of these the model first writes down what it believes was asked, then answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress

from multimodal.audio.speech import SpeechCorpus, Utterance
from multimodal.audio.spoken_questions import record_questions, spoken_texts
from multimodal.flat import FlatEpisodes
from multimodal.language import Scene
from multimodal.native import NativeReader
from multimodal.native.requests import TRANSCRIBE
from multimodal.sequence import Segment
from multimodal.tokenizer import to_uint8
from multimodal.trunk import latents_of
from multimodal.vlm.descriptions import describe, description, mistakes
from worldmodel.evaluation.native_cases import (
    Spoken,
    heard,
    scenes_of,
    spoken_cases,
    written_cases,
)
from worldmodel.evaluation.native_drawing import drawing_figures
from worldmodel.evaluation.picture_page import Example, write_page
from worldmodel.evaluation.vlm_cases import Guesser, open_flat, training_questions
from worldmodel.intervals import ratio_interval
from worldmodel.readers import load_native
from worldmodel.runs import RunDirectory

__all__ = ["evaluate", "word_errors"]

_KINDS = ("colour", "shape", "count", "existence")
_VOICES = 12
_GUESSED_FROM = 3000
_SHOWN = 12
Report = dict[str, dict[str, float]]


def evaluate(cfg: DictConfig, directory: RunDirectory) -> dict[str, float]:
    """Measure a native model on held-out scenes and voices.

    Args:
        cfg: of the verb `evaluate`.
        directory: gets `report.json` and `index.html`.

    Returns:
        The figures by name.
    """
    native = load_native(str(cfg.checkpoint or cfg.model), cfg.trunk)
    flat, corpus = open_flat(cfg.scenes), record_questions(cfg.questions, _VOICES)
    examples: list[Example] = []
    report: Report = {}
    parts: dict[str, Callable[[], Report]] = {
        "spoken questions": lambda: _spoken(native, flat, corpus, cfg, examples),
        "written questions": lambda: _written(native, flat, cfg),
        "descriptions": lambda: _described(native, flat, cfg),
        "transcripts": lambda: _transcribed(native, corpus, cfg),
        "codes": lambda: _codes(native, flat, cfg),
        "drawings": lambda: _drawn(native, cfg, examples),
    }
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(parts))
        for name, part in parts.items():
            progress.update(task, description=name)
            report |= part()
            progress.advance(task)
    directory.write_json("report.json", {"figures": report})
    write_page(directory.path, "One model that sees, hears and draws", report, examples)
    return {name: float(figure["value"]) for name, figure in report.items()}


def word_errors(said: str, right: str) -> tuple[int, int]:
    """Least insertions, deletions and exchanges of words, and the number of right words."""
    one, two = said.split(), right.split()
    row = list(range(len(two) + 1))
    for k, word in enumerate(one, 1):
        before, row[0] = row[0], k
        for j, other in enumerate(two, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1], len(two)


def _spoken(
    native: NativeReader,
    flat: FlatEpisodes,
    corpus: SpeechCorpus,
    cfg: DictConfig,
    examples: list[Example],
) -> Report:
    """Answers to spoken questions with picture and sound, with one of them, and with another's."""
    cases = spoken_cases(flat, corpus, int(cfg.cases))
    turns, written = _asked(native, corpus, cases)
    right = {name: _right(cases, [answer for _, answer in each]) for name, each in turns.items()}
    right["written"] = _right(cases, written)
    guesser = Guesser(training_questions(flat, _KINDS, _GUESSED_FROM))
    right["guess"] = _right(cases, [guesser.answer(case.question) for case in cases])
    pairs = list(zip(turns["both"], cases, strict=True))
    right["heard"] = np.array([h == case.question.text for (h, _), case in pairs], np.float64)
    report = {f"native_spoken_{name}": _interval(values, cfg) for name, values in right.items()}
    for name in ("image_only", "audio_only", "guess"):
        gain = right["both"] - right[name]
        report[f"native_spoken_both_over_{name}"] = _interval(gain, cfg)
    for kind in ("colour", "shape", "count"):
        mine = np.array([case.question.kind == kind for case in cases])
        if mine.any():
            report[f"native_spoken_{kind}"] = _interval(right["both"][mine], cfg)
    for (understood, answer), case in pairs[:_SHOWN]:
        title, told = f"(spoken) {case.question.text}", f"{answer} (heard: {understood})"
        examples.append(Example(case.frame[None], title, case.question.answer, told))
    return report


def _asked(
    native: NativeReader, corpus: SpeechCorpus, cases: Sequence[Spoken]
) -> tuple[dict[str, list[tuple[str, str]]], list[str]]:
    """What was understood and answered by what the model was given, and answers in writing."""
    pictures = native.picture(np.stack([case.frame for case in cases]))
    sounds = heard(native, corpus, [case.utterance for case in cases])
    another = np.roll(np.arange(len(cases)), 1)
    rows: dict[str, list[list[Segment]]] = {
        "both": [[p, s] for p, s in zip(pictures, sounds, strict=True)],
        "image_only": [[p] for p in pictures],
        "audio_only": [[s] for s in sounds],
        "image_of_another": [[pictures[k], s] for k, s in zip(another, sounds, strict=True)],
        "audio_of_another": [[p, sounds[k]] for p, k in zip(pictures, another, strict=True)],
    }
    turns = {name: native.answer_heard(each, 24) for name, each in rows.items()}
    asked = [native.words(case.question.text) for case in cases]
    written = native.say([[p, q] for p, q in zip(pictures, asked, strict=True)], 8)
    return turns, written


def _drawn(native: NativeReader, cfg: DictConfig, examples: list[Example]) -> Report:
    """What CLIP sees in frames drawn from words."""
    drawn, shown = drawing_figures(native, cfg)
    examples += shown
    return {name: _interval(values, cfg) for name, values in drawn.items()}


def _right(cases: Sequence[Spoken], answers: Sequence[str]) -> NDArray[np.float64]:
    pairs = zip(cases, answers, strict=True)
    return np.array([case.question.answer == answer for case, answer in pairs], np.float64)


def _written(native: NativeReader, flat: FlatEpisodes, cfg: DictConfig) -> Report:
    cases = written_cases(flat, _KINDS, max(1, int(cfg.cases) // len(_KINDS)))
    pictures = native.picture(np.stack([case.frame for case in cases]))
    rows = [[p, native.words(c.question.text)] for p, c in zip(pictures, cases, strict=True)]
    said = native.say(rows, 8)
    right = np.array([c.question.answer == a for c, a in zip(cases, said, strict=True)], float)
    kinds = np.array([case.question.kind for case in cases])
    report = {"native_written": _interval(right, cfg)}
    return report | {f"native_written_{k}": _interval(right[kinds == k], cfg) for k in _KINDS}


def _described(native: NativeReader, flat: FlatEpisodes, cfg: DictConfig) -> Report:
    """Descriptions word for word, and objects they name that are not there."""
    rng = np.random.default_rng(31)
    rows = scenes_of(flat, "test")[: int(cfg.cases) // 2]
    scenes = [Scene.from_state(flat.state, row) for row in rows]
    pictures = native.picture(np.stack([flat.frames[row] for row in rows]))
    said = native.say([[p, native.words(describe(rng))] for p in pictures], 24)
    pairs = list(zip(said, scenes, strict=True))
    exact = np.array([text == description(scene) for text, scene in pairs], float)
    false = np.array([mistakes(text, scene).false for text, scene in pairs], float)
    return {
        "native_described": _interval(exact, cfg),
        "native_false_objects": _interval(false, cfg),
    }


def _transcribed(native: NativeReader, corpus: SpeechCorpus, cfg: DictConfig) -> Report:
    """Word error rate on voices never heard: known sentences, and paraphrases never heard."""
    known = set(spoken_texts())
    rng = np.random.default_rng(37)
    report: Report = {}
    said_before: Callable[[Utterance], bool] = lambda each: each.text in known  # noqa: E731
    for name, wanted in (("native_transcribed", True), ("native_transcribed_new", False)):
        mine = [each for each in corpus.of("test") if said_before(each) is wanted]
        if not mine:
            continue
        chosen = [mine[int(k)] for k in rng.permutation(len(mine))[: int(cfg.cases) // 2]]
        sounds = heard(native, corpus, chosen)
        said = native.say([[s, native.words(TRANSCRIBE)] for s in sounds], 24)
        errors = [word_errors(a, each.text) for a, each in zip(said, chosen, strict=True)]
        wrong, words = (np.array(column, float) for column in zip(*errors, strict=True))
        report[f"{name}_word_errors"] = _interval(wrong, cfg, words)
        exact = [a == each.text for a, each in zip(said, chosen, strict=True)]
        report[f"{name}_exact"] = _interval(np.array(exact, float), cfg)
    return report


@torch.no_grad()
def _codes(native: NativeReader, flat: FlatEpisodes, cfg: DictConfig) -> Report:
    """PSNR of frames that went through the codes, and through the trunk alone."""
    frames = torch.from_numpy(np.stack([flat.frames[r] for r in scenes_of(flat, "test")[:128]]))
    latents = latents_of(native.trunk, frames, frames.shape[1])
    coded = native.codes.decode(native.codes.encode(latents))
    report = {}
    for name, made in (("native_codes_psnr", coded), ("native_trunk_psnr", latents)):
        back = to_uint8(native.trunk.decode(made[:, None])[:, 0]).float() / 255
        error = (back - frames.float() / 255).square().mean((1, 2, 3))
        report[name] = _interval((-10 * error.log10()).double().numpy(), cfg)
    return report


def _interval(
    values: NDArray[Any], cfg: DictConfig, counts: NDArray[Any] | None = None
) -> dict[str, float]:
    interval = ratio_interval(values, counts, resamples=cfg.resamples)
    assert interval is not None
    figures: Mapping[str, float] = interval._asdict()
    return dict(figures)
