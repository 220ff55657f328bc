"""Questions to examine a vision-language model with, and what can be answered without seeing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.language import HELD_OUT_COMBINATIONS, Question, Scene, Split, ask
from multimodal.language.question import CLIP_FRAMES
from multimodal.language.vocabulary import named_combinations
from multimodal.pictures import allowed_rows
from multimodal.store import EpisodeStore

__all__ = ["Case", "Guesser", "ask_cases", "open_flat", "training_questions"]

_TRIES = 4


@dataclass(frozen=True, eq=False)
class Case:
    """A question with the frames it is about.

    Attributes:
        group: which figure it counts for, such as "count" or "reading".
        question: with its right answer.
        frames: uint8 (T, H, W, 3).
        episode: number of the episode, the unit that intervals are drawn over.
        unseen: whether question or scene has a combination that was never trained on.
    """

    group: str
    question: Question
    frames: NDArray[np.uint8]
    episode: int
    unseen: bool


def open_flat(path: Path | str) -> FlatEpisodes:
    """A recorded dataset as flat arrays.

    Raises:
        DatasetError: it is missing, incomplete or damaged.
    """
    path = Path(path)
    return FlatEpisodes.open(EpisodeStore.open(path.parent, path.name))


def ask_cases(
    flat: FlatEpisodes,
    kinds: Mapping[str, str],
    count: int,
    split: str = "test",
    paraphrases: Split = "held_out",
    seed: int = 0,
) -> list[Case]:
    """At most one question of each kind about each held-out episode.

    Args:
        flat: the dataset.
        kinds: kind of question to the group it counts for.
        count: most questions of a kind.
        split: whose episodes.
        paraphrases: how it is asked.
        seed: chooses episodes, frames and questions.

    Raises:
        DatasetError: nothing of a kind can be asked of these episodes.
    """
    cases = []
    for number, (kind, group) in enumerate(kinds.items()):
        rng = np.random.default_rng([seed, number, 7])
        made = [_one(flat, kind, group, int(e), paraphrases, rng) for e in _some(flat, split, rng)]
        found = [case for case in made if case is not None][:count]
        if not found:
            raise DatasetError(
                f"no question of kind {kind!r} can be asked of the {split} episodes in "
                f"{flat.path}; record more of them."
            )
        cases += found
    return cases


def training_questions(
    flat: FlatEpisodes, kinds: Iterable[str], count: int, seed: int = 0
) -> list[Question]:
    """Questions as training asks them, about `count` frames of training episodes."""
    rng = np.random.default_rng([seed, 8])
    rows = allowed_rows(flat, "train")
    ends = np.repeat(flat.starts[1:] - 1, np.diff(flat.starts))
    kinds = list(kinds)
    asked = []
    for row in rng.choice(rows, count):
        scenes = [Scene.from_state(flat.state, int(row))]
        asked += [ask(kind, scenes, rng) for kind in kinds if kind not in ("moved", "success")]
        if "moved" in kinds and ends[row] > row:
            asked.append(ask("moved", [*scenes, Scene.from_state(flat.state, int(ends[row]))], rng))
        if "success" in kinds and ends[row] >= row + CLIP_FRAMES:
            clip = [Scene.from_state(flat.state, r) for r in range(int(row), int(ends[row]) + 1)]
            seen, future = clip[:CLIP_FRAMES], clip[CLIP_FRAMES:]
            asked.append(ask("success", seen, rng, future=future))
    return [question for question in asked if question is not None]


class Guesser:
    """Answers from the question alone: the language-only baseline.

    Says what was right most often in training for the same paraphrase family, among the answers
    that are well-formed here.

    Args:
        questions: with their answers, of training.
    """

    def __init__(self, questions: Sequence[Question]) -> None:
        self.family: dict[str, Counter[str]] = defaultdict(Counter)
        self.kind: dict[str, Counter[str]] = defaultdict(Counter)
        for question in questions:
            self.family[question.template.partition("/")[0]][question.answer] += 1
            self.kind[question.kind][question.answer] += 1

    def answer(self, question: Question) -> str:
        """The guess; empty where nothing of the kind was ever seen."""
        for counted in (self.family[question.template.partition("/")[0]], self.kind[question.kind]):
            for answer, _ in counted.most_common():
                if not question.choices or answer in question.choices:
                    return answer
        return question.choices[0] if question.choices else ""


def _some(flat: FlatEpisodes, split: str, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.permutation(flat.episodes(split))


def _one(
    flat: FlatEpisodes,
    kind: str,
    group: str,
    episode: int,
    paraphrases: Split,
    rng: np.random.Generator,
) -> Case | None:
    first, end = int(flat.starts[episode]), int(flat.starts[episode + 1])
    for _ in range(_TRIES):
        rows, later = _rows(kind, first, end, rng)
        scenes, future = ([Scene.from_state(flat.state, r) for r in part] for part in (rows, later))
        question = ask(kind, scenes, rng, split=paraphrases, future=future) if rows else None
        if question is not None:
            named = named_combinations(f"{question.text} {question.answer}")
            unseen = bool((scenes[-1].combinations | named) & HELD_OUT_COMBINATIONS)
            return Case(group, question, np.array(flat.frames[rows]), episode, unseen)
    return None


def _rows(kind: str, first: int, end: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """The frames of an episode that are asked about, and those after them that decide."""
    if kind == "moved":
        return [first, end - 1], []
    if kind == "success":
        if end - first <= CLIP_FRAMES:
            return [], []
        begin = int(rng.integers(first, end - CLIP_FRAMES))
        return list(range(begin, begin + CLIP_FRAMES)), list(range(begin + CLIP_FRAMES, end))
    return [int(rng.integers(first, end))], []
