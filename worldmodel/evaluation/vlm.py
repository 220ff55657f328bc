"""`worldmodel evaluate model=vlm`: exact match on questions about scenes never seen, with controls.

Every kind of question is also answered from a blank picture, from another case's picture, and from
the question alone; a figure means something only above those.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor

from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.glance import GlanceLayout
from multimodal.vlm.hub import open_vlm
from multimodal.vlm.shared import SharedVlm, VisualAnswerer
from worldmodel.checkpoint import shipped_names
from worldmodel.evaluation.picture_page import Example, write_page
from worldmodel.evaluation.vlm_cases import (
    Case,
    Guesser,
    ask_cases,
    open_flat,
    training_questions,
)
from worldmodel.evaluation.vlm_descriptions import Say, measure_descriptions
from worldmodel.intervals import mean_figure
from worldmodel.readers import load_vlm
from worldmodel.runs import RunDirectory

__all__ = ["Looked", "evaluate", "exact_matches", "open_model", "say"]

KINDS = ("count", "colour", "shape", "relation", "nearest", "position", "existence", "moved")
PRINTED = {"reading": "reading", "chart": "reading"}
_BLANK = 127
_TIMED = 30
_SHOWN_EACH = 4
_TRAINING_FRAMES = 3000


def exact_matches(cases: Sequence[Case], answers: Sequence[str]) -> NDArray[np.float64]:
    """1 where the answer is the right one, letter for letter, else 0; (len(cases),)."""
    right = [
        case.question.answer == answer.strip() for case, answer in zip(cases, answers, strict=True)
    ]
    return np.array(right, np.float64)


class Looked:
    """What was looked at already, so that asking about it again costs no second look."""

    def __init__(self) -> None:
        self._known: dict[tuple[GlanceLayout, bytes], Tensor] = {}

    def look(self, vlm: SharedVlm, clips: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """Clips as a model reads them, each frame once."""
        size_px, layout = vlm.model.config.size_px, vlm.model.layout
        frames = {(layout, frame.tobytes()): frame for clip in clips for frame in clip}
        new = {name: frame for name, frame in frames.items() if name not in self._known}
        if new:
            seen = vlm.eyes.look(np.stack(list(new.values())), size_px, layout)
            self._known |= dict(zip(new, seen.half(), strict=True))
        return [
            torch.stack([self._known[layout, frame.tobytes()] for frame in clip]).float()
            for clip in clips
        ]


def say(
    vlm: VisualAnswerer,
    clips: Sequence[NDArray[np.uint8]],
    questions: Sequence[str],
    looked: Looked | None = None,
) -> list[str]:
    """What a model answers; many at once where it can.

    Args:
        vlm: the model.
        clips: of each question, uint8 (T, H, W, 3).
        questions: as many.
        looked: what models with the same eyes looked at before; filled on the way.
    """
    if isinstance(vlm, SharedVlm):
        return vlm.answers_to((looked or Looked()).look(vlm, clips), questions)
    return [vlm.answer(clip, text) for clip, text in zip(clips, questions, strict=True)]


def _sayer(vlm: VisualAnswerer, looked: Looked) -> Say:
    return lambda clips, questions: say(vlm, clips, questions, looked)


def open_model(name: str, trunk: str) -> VisualAnswerer:
    """Our model where the name is shipped or a folder of ours, else one of the hub."""
    if name in shipped_names() or (Path(name) / "manifest.json").is_file():
        return load_vlm(name, trunk)
    return open_vlm(name)


def evaluate(cfg: DictConfig, directory: RunDirectory) -> dict[str, float]:
    """Measure a vision-language model on held-out scenes and paraphrases.

    Args:
        cfg: of the verb `evaluate`.
        directory: gets `report.json`, `answers.json`, `descriptions.json` and `index.html`.

    Returns:
        The figures by name.
    """
    vlm = open_model(str(cfg.checkpoint or cfg.model), cfg.trunk)
    cases, guesser = _examination(cfg)
    looked = Looked()
    answers = say(vlm, [c.frames for c in cases], [c.question.text for c in cases], looked)
    right = exact_matches(cases, answers)
    report = _by_group(cases, right, "vlm", cfg)
    report |= _controls(vlm, cases, right, guesser, cfg, looked)
    earlier = None if cfg.before is None else open_model(str(cfg.before), cfg.trunk)
    described, descriptions, more = measure_descriptions(
        _sayer(vlm, looked), None if earlier is None else _sayer(earlier, looked), cfg
    )
    report |= described
    if earlier is not None:
        texts = [case.question.text for case in cases]
        had = exact_matches(cases, say(earlier, [c.frames for c in cases], texts, looked))
        report["dpo_accuracy_loss"] = mean_figure(had - right, cfg.resamples)
    report |= _answer_ms(vlm, cases)
    records = [_record(case, said) for case, said in zip(cases, answers, strict=True)]
    directory.write_json("answers.json", records)
    directory.write_json("descriptions.json", descriptions)
    directory.write_json("report.json", {"figures": report})
    examples = [
        Example(cases[k].frames, cases[k].question.text, cases[k].question.answer, answers[k])
        for k in _to_show(cases, right)
    ]
    title = "Questions about scenes never seen"
    write_page(directory.path, title, report, [*examples, *more])
    return {name: float(figure["value"]) for name, figure in report.items()}


def _examination(cfg: DictConfig) -> tuple[list[Case], Guesser]:
    scenes = open_flat(cfg.scenes)
    cases = ask_cases(scenes, {kind: kind for kind in KINDS}, cfg.cases)
    cases += _pushes(scenes, cfg.cases)
    asked = training_questions(scenes, (*KINDS, "success"), _TRAINING_FRAMES)
    if cfg.reading is not None:
        printed = open_flat(cfg.reading)
        cases += ask_cases(printed, PRINTED, cfg.cases // 2)
        asked += training_questions(printed, PRINTED, _TRAINING_FRAMES // 2)
    return cases, Guesser(asked)


def _pushes(scenes: FlatEpisodes, count: int) -> list[Case]:
    """Questions whether pushes will succeed; none where no episode has a push to ask about."""
    try:
        return ask_cases(scenes, {"success": "success"}, count)
    except DatasetError:
        return []


def _by_group(
    cases: Sequence[Case], right: NDArray[np.float64], prefix: str, cfg: DictConfig
) -> dict[str, dict[str, float]]:
    """Exact match of each group, with those of combinations never trained on beside it."""
    groups = np.array([case.group for case in cases])
    unseen = np.array([case.unseen for case in cases])
    report = {}
    for group in dict.fromkeys(groups.tolist()):
        mine = groups == group
        report[f"{prefix}_{group}"] = mean_figure(right[mine], cfg.resamples)
        for name, chosen in (("seen", mine & ~unseen), ("unseen", mine & unseen)):
            if chosen.any():
                report[f"{prefix}_{group}_{name}_combinations"] = mean_figure(
                    right[chosen], cfg.resamples
                )
    report[f"{prefix}_all"] = mean_figure(right, cfg.resamples)
    return report


def _controls(
    vlm: VisualAnswerer,
    cases: Sequence[Case],
    right: NDArray[np.float64],
    guesser: Guesser,
    cfg: DictConfig,
    looked: Looked,
) -> dict[str, dict[str, float]]:
    """Blank pictures, other cases' pictures, and no picture at all."""
    texts = [case.question.text for case in cases]
    blanks = [np.full_like(case.frames, _BLANK) for case in cases]
    blank = exact_matches(cases, say(vlm, blanks, texts, looked))
    shuffled = exact_matches(cases, say(vlm, _exchanged(cases), texts, looked))
    guessed = exact_matches(cases, [guesser.answer(case.question) for case in cases])
    report = {
        "vlm_blank": mean_figure(blank, cfg.resamples),
        "vlm_shuffled": mean_figure(shuffled, cfg.resamples),
        "vlm_language_only": mean_figure(guessed, cfg.resamples),
        "vlm_blank_over_language_only": mean_figure(blank - guessed, cfg.resamples),
        "vlm_over_shuffled": mean_figure(right - shuffled, cfg.resamples),
    }
    for group in dict.fromkeys(case.group for case in cases):
        mine = np.array([case.group == group for case in cases])
        report[f"vlm_{group}_blank"] = mean_figure(blank[mine], cfg.resamples)
        report[f"vlm_{group}_shuffled"] = mean_figure(shuffled[mine], cfg.resamples)
        report[f"vlm_{group}_language_only"] = mean_figure(guessed[mine], cfg.resamples)
    return report


def _exchanged(cases: Sequence[Case]) -> list[NDArray[np.uint8]]:
    """For each case the frames of the next case of its group."""
    frames: list[NDArray[np.uint8]] = [case.frames for case in cases]
    for group in dict.fromkeys(case.group for case in cases):
        mine = [k for k, case in enumerate(cases) if case.group == group]
        for k, other in zip(mine, [*mine[1:], mine[0]], strict=True):
            frames[k] = cases[other].frames
    return frames


def _answer_ms(vlm: VisualAnswerer, cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    """Median time of a single answer, from the frame to its last token.

    Beside the time on the clock the time of the processor, which other programs on the same cores
    do not lengthen.
    """
    clock, processor = [], []
    for case in [case for case in cases if len(case.frames) == 1][: _TIMED + 1]:
        begun, begun_cpu = time.perf_counter(), time.process_time()
        vlm.answer(case.frames, case.question.text)
        clock.append(1000 * (time.perf_counter() - begun))
        processor.append(1000 * (time.process_time() - begun_cpu))
    report = {}
    for name, times in (("vlm_answer_ms", clock), ("vlm_answer_cpu_ms", processor)):
        low, value, high = np.percentile(times[1:], [2.5, 50, 97.5])
        figure = {"value": float(value), "low": float(low), "high": float(high)}
        report[name] = figure | {"count": len(times) - 1}
    return report


def _record(case: Case, answer: str) -> dict[str, Any]:
    question = case.question
    return {
        "group": case.group,
        "kind": question.kind,
        "question": question.text,
        "right": question.answer,
        "answer": answer,
        "template": question.template,
        "episode": case.episode,
        "unseen": case.unseen,
    }


def _to_show(cases: Sequence[Case], right: NDArray[np.float64]) -> list[int]:
    """Of each group some cases that went wrong and some that went right."""
    shown: list[int] = []
    pick: Callable[[str, float], list[int]] = lambda group, value: [  # noqa: E731
        k for k, case in enumerate(cases) if case.group == group and right[k] == value
    ]
    for group in dict.fromkeys(case.group for case in cases):
        wrong = pick(group, 0.0)[: _SHOWN_EACH // 2]
        shown += [*wrong, *pick(group, 1.0)[: _SHOWN_EACH - len(wrong)]]
    return shown
