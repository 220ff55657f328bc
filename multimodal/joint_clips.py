"""Clips with everything that is learned from them: actions, a caption, questions, and speech."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from transformers import PreTrainedTokenizerBase

from multimodal.audio.crops import SpeechCrops
from multimodal.clip import text_ids
from multimodal.clip_data import allowed_rows
from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.language import Scene, ask, caption
from multimodal.vlm.turns import Marks, assemble, collate_rows, turn_of

__all__ = ["JointClips", "collate_joint"]

_KINDS = ("count", "colour", "shape", "existence")
_QUESTIONS = 8
_CAPTION = 48
_TURNS = "turns_of_clip"
_TRIES = 8


class JointClips(Dataset[dict[str, Any]]):
    """Clips of one dataset; item i is a function of (seed, i), the dataset and the speech alone.

    Args:
        flat: the episodes.
        crops: speech, one crop for each item.
        tokenizer: of texts.
        marks: special ids.
        frame_tokens: tokens that a frame takes in a row of questions.
        split: whose episodes; what training may not show is left out everywhere.
        frames: T.
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        bounds: lower and upper bound of each action, (A,) both.

    Raises:
        DatasetError: no clip of the split is so long.
    """

    def __init__(
        self,
        flat: FlatEpisodes,
        crops: SpeechCrops,
        tokenizer: PreTrainedTokenizerBase,
        marks: Marks,
        frame_tokens: int,
        split: str,
        frames: int,
        seed: int,
        samples: int,
        bounds: tuple[NDArray[np.float32], NDArray[np.float32]],
    ) -> None:
        self.flat, self.crops, self.tokenizer = flat, crops, tokenizer
        self.marks, self.frame_tokens, self.frames = marks, frame_tokens, frames
        self.seed, self.samples, self.bounds = seed, samples, bounds
        episode = np.repeat(np.arange(len(flat.splits)), np.diff(flat.starts))
        rows = allowed_rows(flat, split)
        self.ends = rows[rows - flat.starts[episode[rows]] >= frames - 1]
        self.episode = episode
        if not len(self.ends):
            raise DatasetError(
                f"{flat.path} has no {split} clip of {frames} frames; record longer."
            )

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.samples:
            raise IndexError(f"clip {index} of {self.samples}")
        rng = np.random.default_rng([self.seed, index, 53])
        end, said = self._told(rng)
        frames, steps = slice(end - self.frames + 1, end + 1), slice(end - self.frames + 1, end)
        low, high = self.bounds
        scaled = (self.flat.actions[steps] - low) / (high - low) * 2 - 1
        return {
            "video": np.array(self.flat.frames[frames]),
            "actions": scaled.astype(np.float32),
            "rewards": np.array(self.flat.rewards[steps]),
            "success": np.array(self.flat.success[frames]),
            "goal": np.array(self.flat.goals[self.episode[end]]),
            "text": text_ids(self.tokenizer, said, _CAPTION),
            "audio": self.crops[index % len(self.crops)]["audio"],
            _TURNS: self._asked(Scene.from_state(self.flat.state, end), rng),
        }

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Several clips at once."""
        return [self[index] for index in indices]

    def _told(self, rng: np.random.Generator) -> tuple[int, str]:
        """The last frame of a clip of which something can be said, and what."""
        for _ in range(_TRIES):
            end = int(rng.choice(self.ends))
            said = caption(Scene.from_state(self.flat.state, end), rng, complete=True)
            if said is not None:
                return end, said.text
        raise DatasetError(f"the scenes of {self.flat.path} show nothing that can be named.")

    def _asked(self, scene: Scene, rng: np.random.Generator) -> dict[str, NDArray[np.int64]]:
        asked = [ask(str(kind), (scene,), rng) for kind in rng.choice(_KINDS, _QUESTIONS)]
        turns = [
            turn_of(self.tokenizer, question.text, question.answer, 1, self.marks.eos)
            for question in {q.text: q for q in asked if q is not None}.values()
        ]
        return assemble(turns, 1, self.frame_tokens, self.marks)


def collate_joint(items: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """A batch: fixed sizes stacked, rows of questions padded."""
    fixed = [{n: torch.as_tensor(v) for n, v in item.items() if n != _TURNS} for item in items]
    return {**default_collate(fixed), **collate_rows([item[_TURNS] for item in items])}
