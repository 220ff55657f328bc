"""What the native model learns from: pictures, speech, texts and actions, interleaved in rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from multimodal.audio.speech import SpeechCorpus, Utterance
from multimodal.audio.units import SpeechUnits
from multimodal.audio.waveform import read_audio, resample
from multimodal.clip_data import allowed_rows, token_at
from multimodal.errors import ConfigError
from multimodal.flat import FlatEpisodes
from multimodal.image_codes import ImageCodes
from multimodal.language import COLOURS, SHAPES, Question, Scene, ask
from multimodal.native.requests import DRAW, TRANSCRIBE
from multimodal.sequence import ActionBins, Modality, Segment, Vocabulary, assemble
from multimodal.text_tokenizer import encode_text
from multimodal.vlm.descriptions import describe, description

__all__ = ["ROW_KINDS", "NativeRows", "Senses", "spoken_question"]

ROW_KINDS: Final = ("see", "hear", "draw", "act")
_KINDS = ("colour", "shape", "count", "existence")
_RATE_HZ = 16_000
_TRIES = 8
# How much of a kind is in one row: rows of all kinds are about as long.
_HEARD = 5
_WRITTEN = 6
_SPOKEN = 3
_DRAWN = 3
_ACTED = 2
_SPAN = 4
_TOLD_FIRST = 0.25
# Of a recorded sentence: as it is, or faster and higher in some noise. Units are made to be the
# same for many voices, and each further take costs as much time as all the sentences together.
_TAKES = ((1.0, None), (1.12, 25.0))


Shown = tuple[list[Segment], list[int]]
"""A row's segments, and the frames that its pictures are of."""


@dataclass(eq=False)
class Senses:
    """What pictures, speech and actions become ids through.

    Attributes:
        tokenizer: of texts.
        codes: the discrete exit of the trunk.
        units: of speech.
        corpus: spoken questions.
        bins: of actions.
    """

    tokenizer: PreTrainedTokenizerBase
    codes: ImageCodes
    units: SpeechUnits
    corpus: SpeechCorpus
    bins: ActionBins
    _heard: dict[tuple[str, int], NDArray[np.int64]] = field(default_factory=dict)
    _texts: dict[str, list[int]] = field(default_factory=dict)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """All ids."""
        groups, units = int(self.codes.config.groups), self.units.units
        actions = (len(self.bins.low), self.bins.bins)
        return Vocabulary.of(self.tokenizer, (groups, self.codes.codes), (1, units), actions)

    def text(self, text: str, learn: bool = False) -> Segment:
        """A text."""
        if text not in self._texts:
            self._texts[text] = encode_text(self.tokenizer, text)
        return Segment.text(self._texts[text], learn)

    def sound(self, utterance: Utterance, take: int = 0) -> Segment:
        """A recorded sentence, as it is or as `take` changes it."""
        if (utterance.file, take) not in self._heard:
            audio = read_audio(self.corpus.folder / utterance.file, _RATE_HZ)
            speed, snr_db = _TAKES[take]
            if speed != 1:
                # Halved, as resampling may overshoot what is as loud as can be.
                audio = resample(audio / 2, round(speed * _RATE_HZ), _RATE_HZ)
            if snr_db is not None:
                noise = np.random.default_rng([take, len(audio)]).normal(size=len(audio))
                loud = audio.square().mean().sqrt() * 10 ** (-snr_db / 20)
                audio = audio + loud * torch.from_numpy(noise).float()
            self._heard[utterance.file, take] = self.units.encode(audio)
        return Segment.audio(self._heard[utterance.file, take])

    @torch.no_grad()
    def seen(self, latents_NC: NDArray[np.float16]) -> NDArray[np.int64]:
        """Codes (N, groups) of a frame's latents."""
        latents = torch.from_numpy(np.array(latents_NC))[None].float()
        codes: NDArray[np.int64] = self.codes.encode(latents)[0].numpy()
        return codes


def spoken_question(
    scene: Scene, rng: np.random.Generator, spoken: Mapping[str, Sequence[Utterance]]
) -> tuple[Question, Utterance] | None:
    """A question of the corpus that can be asked of a scene, and a voice that asks it."""
    kinds = ("colour", "shape", "count")
    for _ in range(_TRIES):
        question = ask(kinds[int(rng.choice(3, p=(0.4, 0.45, 0.15)))], (scene,), rng, split="any")
        if question is not None and spoken.get(question.text):
            voices = spoken[question.text]
            return question, voices[int(rng.integers(len(voices)))]
    return None


class NativeRows(Dataset[dict[str, NDArray[Any]]]):
    """Rows of four kinds; row i is a function of (seed, i) and the datasets alone.

    "see": a picture, questions and answers in text and speech, and a description; "hear": speech
    and what is said; "draw": descriptions and their pictures; "act": two pictures and the mean
    action between them, several times. A spoken question is written down before it is answered
    (as SpeechGPT's chain of modality, arXiv 2305.11000). Beside what `assemble` gives, a row holds
    "named" int64 (L, 2): of the code at the middle of an object, its shape and colour counted from
    1, and 0 elsewhere.

    Args:
        flat: the scenes.
        latents: float16 (F, N, C).
        senses: what makes ids of everything.
        split: "train" or "validation".
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
        mixture: share of each kind of row.
        most: most objects in a picture.

    Raises:
        ConfigError: a kind of row that does not exist, or no share at all.
    """

    def __init__(
        self,
        flat: FlatEpisodes,
        latents: NDArray[np.float16],
        senses: Senses,
        split: str,
        seed: int,
        samples: int,
        mixture: Mapping[str, float],
        most: int = 2,
    ) -> None:
        if (unknown := mixture.keys() - set(ROW_KINDS)) or sum(mixture.values()) <= 0:
            raise ConfigError(
                f"the mixture {dict(mixture)} names {sorted(unknown)} or nothing; expected shares "
                f"of {', '.join(ROW_KINDS)}."
            )
        self.flat, self.latents, self.senses = flat, latents, senses
        self.seed, self.samples = seed, samples
        shares = np.array([mixture.get(kind, 0.0) for kind in ROW_KINDS])
        self.shares = shares / shares.sum()
        rows = allowed_rows(flat, split)
        count = (np.asarray(flat.state["object_shape"])[rows] >= 0).sum(-1)
        # Other voices than the recorded ones: slower and faster, in noise.
        self.takes = len(_TAKES) if split == "train" else 1
        self.rows = rows[(count > 0) & (count <= most)]
        self.ends = np.repeat(flat.starts[1:] - 1, np.diff(flat.starts))
        self._codes: dict[int, NDArray[np.int16]] = {}
        self.utterances = senses.corpus.of(split)
        self.spoken: dict[str, list[Utterance]] = defaultdict(list)
        for each in self.utterances:
            self.spoken[each.text].append(each)

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]:
        if not 0 <= index < self.samples:
            raise IndexError(f"row {index} of {self.samples}")
        rng = np.random.default_rng([self.seed, index, 17])
        kind = ROW_KINDS[int(rng.choice(len(ROW_KINDS), p=self.shares))]
        row = int(rng.choice(self.rows))
        make = {"see": self._see, "hear": self._hear, "draw": self._draw, "act": self._act}[kind]
        segments, shown = make(row, rng)
        laid = assemble(segments, self.senses.vocabulary)
        laid["named"] = np.zeros((len(laid["ids"]), 2), np.int64)
        inside = (laid["modalities"] == Modality.IMAGE) & (laid["within"] > 0)
        laid["named"][inside] = np.concatenate([*(self._named(k) for k in shown), np.zeros((0, 2))])
        return laid

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, NDArray[Any]]]:
        """Several rows at once."""
        return [self[index] for index in indices]

    def _see(self, row: int, rng: np.random.Generator) -> Shown:
        senses, scene = self.senses, Scene.from_state(self.flat.state, row)
        turns: list[list[Segment]] = []
        for kind in rng.choice(_KINDS, _WRITTEN, p=(0.3, 0.4, 0.1, 0.2)):
            asked = ask(str(kind), (scene,), rng)
            if asked is not None:
                turns.append([senses.text(asked.text), senses.text(asked.answer, learn=True)])
        for heard in (spoken_question(scene, rng, self.spoken) for _ in range(_SPOKEN)):
            if heard is not None:
                question, utterance = heard
                said = [senses.text(t, learn=True) for t in (question.text, question.answer)]
                turns.append([self._sound(utterance, rng), *said])
        told = [senses.text(describe(rng)), senses.text(description(scene), learn=True)]
        order = rng.permutation(len(turns))
        answers = [each for k in order for each in turns[k]]
        # Mostly last: what was told already has not to be seen any more.
        first = rng.random() < _TOLD_FIRST
        rest = [*told, *answers] if first else [*answers, *told]
        return [self._picture(row), *rest], [row]

    def _hear(self, row: int, rng: np.random.Generator) -> Shown:
        segments = []
        for number in rng.choice(len(self.utterances), min(_HEARD, len(self.utterances)), False):
            utterance = self.utterances[int(number)]
            segments += [self._sound(utterance, rng), self.senses.text(TRANSCRIBE)]
            segments.append(self.senses.text(utterance.text, learn=True))
        return segments, []

    def _sound(self, utterance: Utterance, rng: np.random.Generator) -> Segment:
        return self.senses.sound(utterance, int(rng.integers(self.takes)))

    def _draw(self, row: int, rng: np.random.Generator) -> Shown:
        segments = []
        shown = [row, *(int(k) for k in rng.choice(self.rows, _DRAWN - 1))]
        for number in shown:
            told = description(Scene.from_state(self.flat.state, number))
            segments.append(self.senses.text(f"{DRAW} {told}"))
            segments.append(self._picture(number, learn=True))
        return segments, shown

    def _act(self, row: int, rng: np.random.Generator) -> Shown:
        segments: list[Segment] = []
        shown: list[int] = []
        for number in (row, *(int(k) for k in rng.choice(self.rows, _ACTED - 1))):
            last = int(self.ends[number])
            begin = max(min(number, last - _SPAN), int(np.searchsorted(self.ends, last)))
            end = min(begin + _SPAN, last)
            mean = self.flat.actions[begin:end].mean(0, keepdims=True)
            segments += [self._picture(k) for k in (begin, end)]
            shown += [begin, end]
            segments.append(Segment.actions(self.senses.bins.encode(mean), learn=True))
        return segments, shown

    def _picture(self, row: int, learn: bool = False) -> Segment:
        if row not in self._codes:
            self._codes[row] = self.senses.seen(self.latents[row]).astype(np.int16)
        return Segment.image(self._codes[row], learn)

    def _named(self, row: int) -> NDArray[np.int64]:
        """What stands at each code of a frame, (N · groups, 2)."""
        tokens, groups = self.latents.shape[1], self.senses.vocabulary.image[0]
        named = np.zeros((tokens, 2), np.int64)
        for thing in Scene.from_state(self.flat.state, row).objects:
            place = token_at(thing.x_m, thing.y_m, tokens)
            named[place] = 1 + SHAPES.index(thing.shape), 1 + COLOURS.index(thing.colour)
        return named.repeat(groups, 0)
