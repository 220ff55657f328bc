"""Frames with questions and their answers, made on the fly from state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from multimodal.clip_data import named_things
from multimodal.landmarks import details, landmarks
from multimodal.language import Question, Scene, ask
from multimodal.language.question import CLIP_FRAMES
from multimodal.pictures import Pictures
from multimodal.vlm.copying import Copying
from multimodal.vlm.descriptions import describe, description
from multimodal.vlm.pointing import Pointing
from multimodal.vlm.projector import FrameTokens
from multimodal.vlm.turns import Marks, Turn, assemble, turn_of
from multimodal.vlm.unproven import Unproven

__all__ = ["QuestionedPictures"]

_CACHE = 200_000
_KINDS = ("count", "colour", "shape", "relation", "nearest", "position", "existence")
# The nearest is learnt last; colours and shapes are copied, and learnt soon.
_WEIGHTS = (0.12, 0.19, 0.17, 0.09, 0.26, 0.03, 0.14)
_PRINTED = ("reading", "reading")
# Which bar is the tallest or the lowest is seldom clear, and is learnt last: it is asked first.
_CHART_TRIES = 12
_CHARTS = 5
_HARD = "chart.extreme"
_MOVED_TRIES = 8
_MOVED = 4
_SUCCESS_TRIES = 6


class QuestionedPictures(Dataset[dict[str, Any]]):
    """Rows of frames and questions; item i is a function of (seed, i) and the sources alone.

    A row holds a frame and some questions about it; where the episode goes on, some rows hold a
    later frame as well and questions about what moved, and some four frames in a row and whether
    the push in them will succeed. Beside what `assemble` returns there are "glances" (F, P),
    of its frames "landmarks" (F, N, K), "named" (F, slots, 2), shape and colour of each thing, and
    "printed" (F, DETAILS, 3).

    Args:
        sources: the pictures, each drawn from with its share.
        shares: of the sources.
        tokenizer: of texts.
        marks: special ids.
        frame: the tokens of a frame.
        split: "train" or "validation", of the episodes; paraphrases are those of training.
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        questions: asked of a frame.
        pairs: share of rows with a second frame.
        pushes: share of rows with four frames.
        descriptions: share of rows that ask for a description as well.
    """

    def __init__(
        self,
        sources: Sequence[Pictures],
        shares: Sequence[float],
        tokenizer: PreTrainedTokenizerBase,
        marks: Marks,
        frame: FrameTokens,
        split: str,
        seed: int,
        samples: int,
        questions: int = 10,
        pairs: float = 0.45,
        pushes: float = 0.08,
        descriptions: float = 1.0,
    ) -> None:
        self.sources, self.marks, self.frame = list(sources), marks, frame
        self.bounds = np.cumsum(shares) / np.sum(shares)
        self.seed, self.samples, self.questions = seed, samples, questions
        self.pairs, self.pushes, self.descriptions = pairs, pushes, descriptions
        self.numbers = [source.numbers(split) for source in self.sources]
        self._ends = [source.ends() for source in self.sources]
        self._unproven, self._copying = Unproven(tokenizer), Copying(tokenizer)
        self._turn = lru_cache(_CACHE)(
            lambda text, answer, frames: turn_of(tokenizer, text, answer, frames, marks.eos)
        )

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.samples:
            raise IndexError(f"row {index} of {self.samples}")
        rng = np.random.default_rng([self.seed, index, 5])
        which = int(np.searchsorted(self.bounds, rng.random(), side="right"))
        source = self.sources[which]
        number = int(rng.choice(self.numbers[which]))
        rows, turns = self._long(source, number, int(self._ends[which][number]), rng)
        scene = source.scene(number)
        # Rows with more frames get fewer questions, so that rows are of about one length.
        turns += self._still(source, number, self.questions // len(rows), rng)
        if scene.objects and len(rows) == 1 and rng.random() < self.descriptions:
            seen = self._pointing(source, number)
            turns.append(self._answered(describe(rng), description(scene), 1, None, scene, seen))
        if not turns:
            return self[(index + 1) % self.samples]
        scenes = [source.scene(row) for row in rows]
        marked = np.stack([landmarks(each, source.layout.tokens) for each in scenes])
        printed = np.stack([details(each) for each in scenes])
        laid = assemble(turns, len(rows), self.frame.count, self.marks)
        named = np.stack([named_things(source, row) for row in rows])
        told = {"landmarks": marked, "named": named, "printed": printed}
        return laid | {"glances": source.glances(rows)} | told

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Several rows at once."""
        return [self[index] for index in indices]

    def _long(
        self, source: Pictures, number: int, end: int, rng: np.random.Generator
    ) -> tuple[list[int], list[Turn]]:
        """The frames of a row, and its questions about more than the first of them."""
        kind = rng.random()
        if source.printed or end == number or kind >= self.pairs + self.pushes:
            return [number], []
        if kind < self.pushes:
            rows = list(range(number, number + CLIP_FRAMES))
            turns = self._pushed(source, rows, end, rng) if rows[-1] < end else []
            return (rows, turns) if turns else ([number], [])
        # As far apart as training ever sees them, the whole episode, half of the time.
        later = end if rng.random() < 0.5 else int(rng.integers(number, end)) + 1
        scenes = (source.scene(number), source.scene(later))
        asked = [ask("moved", scenes, rng) for _ in range(_MOVED_TRIES)]
        turns = self._asked(asked, scenes[1], self._pointing(source, later))[:_MOVED]
        return ([number, later], turns) if turns else ([number], [])

    def _pushed(
        self, source: Pictures, rows: list[int], end: int, rng: np.random.Generator
    ) -> list[Turn]:
        seen = [source.scene(row) for row in rows]
        future = [source.scene(row) for row in range(rows[-1] + 1, end + 1)]
        asked = [ask("success", seen, rng, future=future) for _ in range(_SUCCESS_TRIES)]
        return self._asked(asked, seen[-1], self._pointing(source, rows[-1]))[:_MOVED]

    def _still(
        self, source: Pictures, number: int, count: int, rng: np.random.Generator
    ) -> list[Turn]:
        scene = source.scene(number)
        kinds = list(rng.choice(_KINDS, count, p=_WEIGHTS))
        charts: list[Question] = []
        if source.printed:
            kinds = [*_PRINTED, *kinds[: count // 3]]
            drawn = [ask("chart", (scene,), rng) for _ in range(_CHART_TRIES)]
            charts = [question for question in drawn if question is not None]
            charts.sort(key=lambda question: not question.template.startswith(_HARD))
        asked = [*charts[:_CHARTS], *(ask(str(kind), (scene,), rng) for kind in kinds)]
        return self._asked(asked, scene, self._pointing(source, number))

    def _pointing(self, source: Pictures, number: int) -> Pointing:
        """Where the tokens of a frame are."""
        things = None if source.things is None else source.things[number]
        return Pointing(self.frame, things)

    def _asked(
        self, questions: Sequence[Question | None], scene: Scene, pointing: Pointing
    ) -> list[Turn]:
        asked = {q.text: q for q in questions if q is not None}
        return [
            self._answered(q.text, q.answer, q.frames, q, scene, pointing) for q in asked.values()
        ]

    def _answered(
        self,
        text: str,
        answer: str,
        frames: int,
        question: Question | None,
        scene: Scene,
        pointing: Pointing,
    ) -> Turn:
        """A turn about `scene`, what its last frame shows, with what training is told of it."""
        turn = self._turn(text, answer, frames)
        about = None if question is None else pointing.at(question, scene)
        alone = question is not None and question.kind in ("colour", "shape")
        return replace(
            turn,
            barred=self._unproven.of(turn.answer, question, scene),
            looks=about,
            copies=self._copying.of(turn.answer, scene, pointing, about if alone else None),
        )
