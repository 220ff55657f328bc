"""Frames with questions and their answers, made on the fly from state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from multimodal.clip_data import allowed_rows
from multimodal.flat import FlatEpisodes
from multimodal.language import Question, Scene, ask
from multimodal.vlm.descriptions import describe, description
from multimodal.vlm.turns import Marks, Turn, assemble, turn_of

__all__ = ["Pictures", "QuestionedPictures"]

_CACHE = 200_000
_KINDS = ("count", "colour", "shape", "relation", "nearest", "position", "existence")
_WEIGHTS = (0.18, 0.16, 0.2, 0.24, 0.04, 0.08, 0.1)
_PRINTED = ("reading", "chart")
_MOVED_TRIES = 6


@dataclass(frozen=True, eq=False)
class Pictures:
    """A dataset and its latents.

    Attributes:
        flat: the dataset.
        latents: float16 (F, N, C), aligned with its frames.
    """

    flat: FlatEpisodes
    latents: NDArray[np.float16]

    @property
    def printed(self) -> bool:
        """Whether the scenes have signs and charts."""
        return "sign_text" in self.flat.state

    def scene(self, row: int) -> Scene:
        """What a frame shows."""
        return Scene.from_state(self.flat.state, row)


class QuestionedPictures(Dataset[dict[str, Any]]):
    """Rows of frames and questions; item i is a function of (seed, i) and the datasets alone.

    A row holds a frame and some questions about it; where the episode goes on, a later frame as
    well, and questions about what moved.

    Args:
        sources: the datasets, each drawn from with its share.
        shares: of the sources.
        tokenizer: of texts.
        marks: special ids.
        frame_tokens: tokens of a frame.
        split: "train" or "validation", of the episodes; paraphrases are those of training.
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        questions: asked of the first frame.
        pairs: share of rows with a second frame.
        descriptions: share of rows that ask for a description as well.
    """

    def __init__(
        self,
        sources: Sequence[Pictures],
        shares: Sequence[float],
        tokenizer: PreTrainedTokenizerBase,
        marks: Marks,
        frame_tokens: int,
        split: str,
        seed: int,
        samples: int,
        questions: int = 6,
        pairs: float = 0.25,
        descriptions: float = 1.0,
    ) -> None:
        self.sources, self.marks, self.frame_tokens = list(sources), marks, frame_tokens
        self.bounds = np.cumsum(shares) / np.sum(shares)
        self.seed, self.samples, self.questions = seed, samples, questions
        self.pairs, self.descriptions = pairs, descriptions
        self.rows = [allowed_rows(source.flat, split) for source in self.sources]
        self._ends = [_last_rows(source.flat) for source in self.sources]
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
        row = int(rng.choice(self.rows[which]))
        scene = source.scene(row)
        rows, turns = [row], self._still(scene, source.printed, rng)
        if rng.random() < self.descriptions and scene.objects:
            turns.append(self._turn(describe(rng), description(scene), 1))
        last = int(self._ends[which][row])
        if not source.printed and rng.random() < self.pairs and last > row:
            # As far apart as training ever sees them, the whole episode, half of the time.
            later = last if rng.random() < 0.5 else int(rng.integers(row, last)) + 1
            moved = self._moved((scene, source.scene(later)), rng)
            turns += moved
            rows += [later] * bool(moved)
        laid = assemble(turns, len(rows), self.frame_tokens, self.marks)
        return laid | {"latents": source.latents[rows]}

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Several rows at once."""
        return [self[index] for index in indices]

    def _still(self, scene: Scene, printed: bool, rng: np.random.Generator) -> list[Turn]:
        kinds = list(rng.choice(_KINDS, self.questions, p=_WEIGHTS))
        if printed:
            kinds = ["reading", "chart", "chart", *kinds[: self.questions // 2]]
        return self._asked([ask(str(kind), (scene,), rng) for kind in kinds])

    def _moved(self, scenes: tuple[Scene, Scene], rng: np.random.Generator) -> list[Turn]:
        return self._asked([ask("moved", scenes, rng) for _ in range(_MOVED_TRIES)])[:3]

    def _asked(self, questions: Sequence[Question | None]) -> list[Turn]:
        asked = {q.text: q for q in questions if q is not None}
        return [self._turn(q.text, q.answer, q.frames) for q in asked.values()]


def _last_rows(flat: FlatEpisodes) -> NDArray[np.int64]:
    """For each frame the number of the last frame of its episode, (F,)."""
    lengths = np.diff(flat.starts)
    return np.repeat(flat.starts[1:] - 1, lengths)
