"""The native model with what it sees and hears through: answers, transcripts, drawings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from multimodal.audio.units import SpeechUnits
from multimodal.audio.waveform import resample
from multimodal.errors import CheckpointError, TextError
from multimodal.image_codes import ImageCodes
from multimodal.native.model import NativeModel
from multimodal.native.requests import DRAW, TRANSCRIBE
from multimodal.native.writing import write_codes, write_text
from multimodal.sequence import Modality, Segment
from multimodal.text_tokenizer import decode_ids, encode_text, load_text_tokenizer
from multimodal.tokenizer import VideoTokenizer, to_uint8
from multimodal.trunk import latents_of, require_trunk

__all__ = ["CODES_FOLDER", "TEXT_FOLDER", "UNITS_FOLDER", "NativeReader"]

_RATE_HZ = 16_000
TEXT_FOLDER, CODES_FOLDER, UNITS_FOLDER = "text", "image_codes", "units"


@dataclass(frozen=True)
class NativeReader:
    """One model for pictures, speech, text and actions.

    Attributes:
        model: the transformer.
        trunk: the tokeniser of the world model.
        codes: its discrete exit.
        units: how speech is heard.
        tokenizer: of texts.
    """

    model: NativeModel
    trunk: VideoTokenizer
    codes: ImageCodes
    units: SpeechUnits
    tokenizer: PreTrainedTokenizerBase

    def __post_init__(self) -> None:
        require_trunk(self.trunk, self.model.config.trunk, "this native model")
        made = (int(self.codes.config.groups), self.codes.codes)
        if made != self.model.words.image:
            raise CheckpointError(
                f"this native model reads images of {self.model.words.image[0]} codes a token with "
                f"{self.model.words.image[1]:,} values, these image codes make {made[0]} with "
                f"{made[1]:,}; use those it was trained on."
            )
        if (1, self.units.units) != self.model.words.audio:
            raise CheckpointError(
                f"this native model hears {self.model.words.audio[1]:,} units of speech, these "
                f"make {self.units.units:,}; use those it was trained on."
            )

    @classmethod
    def from_pretrained(cls, folder: Path | str, trunk: VideoTokenizer) -> NativeReader:
        """Load what `save_pretrained` wrote.

        Raises:
            CheckpointError: another trunk than it was trained on, or a part is missing.
        """
        folder = Path(folder)
        model = NativeModel.from_pretrained(folder, torch_dtype=torch.float32).eval()
        codes = ImageCodes.from_pretrained(folder / CODES_FOLDER, torch_dtype=torch.float32).eval()
        units = SpeechUnits.from_pretrained(folder / UNITS_FOLDER, torch_dtype=torch.float32).eval()
        return cls(model, trunk, codes, units, load_text_tokenizer(folder / TEXT_FOLDER))

    @property
    def _tokens(self) -> int:
        """Tokens of an image, each of one code or of several."""
        return int(self.model.config.places) // int(self.codes.config.groups)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the model and all it reads through but the trunk, which is named only."""
        folder = Path(folder)
        self.model.save_pretrained(folder)
        self.codes.save_pretrained(folder / CODES_FOLDER)
        self.units.save_pretrained(folder / UNITS_FOLDER)
        self.tokenizer.save_pretrained(folder / TEXT_FOLDER)

    def picture(self, frames: Tensor | NDArray[Any]) -> list[Segment]:
        """Frames (B, H, W, 3) as segments.

        Raises:
            FrameError: malformed frames.
        """
        size_px = 8 * round(self._tokens**0.5)
        with torch.no_grad():
            codes = self.codes.encode(latents_of(self.trunk, frames, size_px))
        return [Segment.image(each.numpy()) for each in codes]

    def sound(self, audio: Tensor | NDArray[Any], rate_hz: int) -> Segment:
        """Speech (samples,) as a segment.

        Raises:
            AudioError: malformed audio, or shorter than 80 ms.
        """
        return Segment.audio(self.units.encode(resample(audio, rate_hz, _RATE_HZ)))

    def words(self, text: str) -> Segment:
        """A text as a segment.

        Raises:
            TextError: it is empty or malformed.
        """
        if not text.strip():
            raise TextError("the text is empty; ask or describe something.")
        return Segment.text(encode_text(self.tokenizer, text))

    def say(self, rows: Sequence[Sequence[Segment]], tokens: int = 32) -> list[str]:
        """What the model says after rows of segments in any order."""
        said = write_text(self.model, rows, tokens)
        return [decode_ids(self.tokenizer, ids).strip() for ids in said]

    def answer_heard(
        self, rows: Sequence[Sequence[Segment]], tokens: int = 32
    ) -> list[tuple[str, str]]:
        """What was asked, as the model understood it, and its answer, for rows that end in sound.

        It writes the question down first, as it has learned to.
        """
        heard = write_text(self.model, rows, tokens)
        asked = [[*row, Segment.text(ids)] for row, ids in zip(rows, heard, strict=True)]
        answers = self.say(asked, tokens)
        questions = [decode_ids(self.tokenizer, ids).strip() for ids in heard]
        return list(zip(questions, answers, strict=True))

    def answer(
        self,
        frame: Tensor | NDArray[Any],
        question: str | Tensor | NDArray[Any],
        rate_hz: int = _RATE_HZ,
    ) -> str:
        """The answer to a question about a frame, written or spoken.

        Args:
            frame: uint8 or float in [0, 1], (H, W, 3).
            question: a text, or its sound (samples,).
            rate_hz: the sound's rate.

        Raises:
            FrameError: a malformed frame.
            TextError: an empty text.
            AudioError: malformed sound.
        """
        seen = self.picture(torch.as_tensor(frame)[None])
        if isinstance(question, str):
            return self.say([[*seen, self.words(question)]])[0]
        return self.answer_heard([[*seen, self.sound(question, rate_hz)]])[0][1]

    def transcribe(self, audio: Tensor | NDArray[Any], rate_hz: int = _RATE_HZ) -> str:
        """What is said in a sound (samples,)."""
        return self.say([[self.sound(audio, rate_hz), self.words(TRANSCRIBE)]])[0]

    def draw(
        self, texts: Sequence[str], temperature: float = 0.0, seed: int = 0
    ) -> NDArray[np.uint8]:
        """Frames uint8 (len(texts), H, W, 3) that descriptions such as "a red cube" speak of."""
        rows = [[self.words(f"{DRAW} {text}")] for text in texts]
        codes = write_codes(self.model, rows, Modality.IMAGE, self._tokens, temperature, seed)
        with torch.no_grad():
            latents = self.codes.decode(torch.from_numpy(codes))
            frames: NDArray[np.uint8] = to_uint8(self.trunk.decode(latents[:, None])[:, 0]).numpy()
        return frames
