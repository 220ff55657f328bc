"""The vision-language model in LLaVA's form: vision tower, projector, language model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from safetensors.torch import load_file, save_file
from torch import Tensor

from multimodal.errors import CheckpointError
from multimodal.glance import GlanceLayout
from multimodal.things import Things
from multimodal.tower import VisionTower
from multimodal.vlm.copying import OWN, Copied, Copier, Said, Shown
from multimodal.vlm.language import Next, hidden_states, language_from_config, next_logits
from multimodal.vlm.projector import FrameTokens, Projector
from multimodal.vlm.turns import Marks
from multimodal.vlm.unproven import unproven_things
from multimodal.vlm.words import read_words

__all__ = ["Answered", "Sight", "VlmModel", "answer_log_probability"]

_WEIGHTS = "model.safetensors"
# Without effect at first; models that were trained before had them not.
_ADDED = frozenset({"copier.ends.weight", "copier.ends.bias"})


class Sight(NamedTuple):
    """F frames as a model sees them.

    Attributes:
        glances: the frames (F, P).
        features: the tower's (F, N + K, D).
        tokens: those of the language model (F, M, W).
    """

    glances: Tensor
    features: Tensor
    tokens: Tensor


class Answered(NamedTuple):
    """The X places of a batch after which an answer goes on.

    Attributes:
        next: what comes there; of a model that copies its logits are log-probabilities.
        attended: what each layer attends to, (B, heads, L, L), where it was asked for.
        copied: how much is copied from which thing; None for a model that copies nothing.
    """

    next: Next
    attended: tuple[Tensor, ...] = ()
    copied: Copied | None = None


class VlmModel(ModelMixin, ConfigMixin):
    """Answers questions about frames.

    Args:
        language_config: the language model's configuration as `to_diff_dict` gives it, with its
            `model_type`.
        mark_ids: ids of the special tokens, as in `Marks`.
        trunk: fingerprint of the encoder whose latents it reads.
        size_px: side of the frames.
        channels: C of the latents.
        tokens: N of a frame.
        width: channels of the vision tower.
        hidden: channels inside its feed-forward layers.
        layers: its layers.
        heads: its attention heads.
        merge: rows and columns of the block of the grid that becomes one token of the language
            model.
        neighbours: convolutions of the tower over neighbouring tokens.
        changes: whether the tower also reads what changed since a row's first frame.
        reader: fingerprint of the reader of layers whose things it reads; empty for none.
        slots: K, the most things that are told apart; 0 for none.
        fine_px: side of the frame whose pixels it reads beside the trunk's tokens; 0 for none.
        details: M, tokens of a frame that ask for details, such as the bars of a chart.
        exchanges: how often the tokens of a frame look at one another.
        copied: ids of the words that are copied from things, those of
            `multimodal.vlm.copying.COPIED`; none for a model that copies nothing.
    """

    @register_to_config
    def __init__(
        self,
        language_config: dict[str, Any],
        mark_ids: dict[str, int],
        trunk: str = "",
        size_px: int = 64,
        channels: int = 32,
        tokens: int = 64,
        width: int = 192,
        hidden: int = 512,
        layers: int = 4,
        heads: int = 6,
        merge: tuple[int, int] = (2, 2),
        neighbours: int = 0,
        changes: bool = False,
        reader: str = "",
        slots: int = 0,
        fine_px: int = 0,
        details: int = 0,
        exchanges: int = 0,
        copied: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.language = language_from_config(language_config)
        self.layout = GlanceLayout(tokens, channels, slots, fine_px)
        self.tower = VisionTower(self.layout, width, hidden, layers, heads, neighbours, changes)
        out = self.language.config.hidden_size
        self.projector = Projector(width, out, merge, tokens, details, exchanges)
        self.marks = Marks(**mark_ids)
        self.copier = Copier(out, copied, self.marks.eos) if slots and copied else None

    def save_pretrained(self, save_directory: Path | str, **_: Any) -> None:
        """Write `config.json` and `model.safetensors`, tied weights once."""
        folder = Path(save_directory)
        self.save_config(folder)
        tied = self._tied()
        weights = {n: t.contiguous() for n, t in self.state_dict().items() if n not in tied}
        save_file(weights, folder / _WEIGHTS, {"format": "pt"})

    @classmethod
    def from_pretrained(cls, folder: Path | str, **_: Any) -> VlmModel:
        """Load what `save_pretrained` wrote, in float32 whatever it is stored in.

        Raises:
            CheckpointError: a file is missing, or the weights are of another architecture.
        """
        path = Path(folder) / _WEIGHTS
        if not path.is_file() or not (Path(folder) / "config.json").is_file():
            raise CheckpointError(
                f"{folder} holds no vision-language model: config.json and {_WEIGHTS} are needed. "
                "Name the folder that `save_pretrained` or `worldmodel train` wrote."
            )
        model: VlmModel = cls.from_config(cls.load_config(folder))
        weights = {name: value.float() for name, value in load_file(path).items()}
        missing, unknown = model.load_state_dict(weights, strict=False)
        missing = set(missing) - model._tied() - _ADDED
        if unknown or missing:
            raise CheckpointError(
                f"{path} does not fit its config.json: {len(unknown)} weights are unknown, "
                f"{len(missing)} are missing. Restore the folder."
            )
        return model

    def _tied(self) -> set[str]:
        """Names of weights that are others' again, and need not be kept."""
        if not self.language.config.tie_word_embeddings:
            return set()
        shared = self.language.get_input_embeddings().weight
        return {
            name
            for name, value in self.named_parameters(remove_duplicate=False)
            if value is shared and "embed" not in name
        }

    @property
    def frame(self) -> FrameTokens:
        """The tokens of the language model that a frame takes."""
        return FrameTokens.of(self.config)

    @property
    def frame_tokens(self) -> int:
        """How many they are."""
        return self.frame.count

    def frames_of_rows(self, ids_BL: Tensor) -> Tensor:
        """How many frames each row has, int64 (B,)."""
        return (ids_BL == self.marks.image).sum(1) // self.frame_tokens

    def first_of_rows(self, ids_BL: Tensor) -> Tensor:
        """The number of each row's first frame among those of all rows, int64 (B,)."""
        frames = self.frames_of_rows(ids_BL)
        return frames.cumsum(0) - frames

    def first_frames(self, ids_BL: Tensor) -> Tensor:
        """For each frame of all rows the number of its row's first, int64 (F,)."""
        return self.first_of_rows(ids_BL).repeat_interleave(self.frames_of_rows(ids_BL))

    def see(self, ids_BL: Tensor, glances_FP: Tensor) -> Sight | None:
        """What the frames of all rows are to the language model; None where there are none.

        Args:
            ids_BL: int64, with as many image tokens as the frames have together.
            glances_FP: the frames of all rows, one after the other.
        """
        if not len(glances_FP):
            return None
        features = self.tower(glances_FP, glances_FP[self.first_frames(ids_BL)])
        return Sight(glances_FP, features, self.projector(features))

    def embed(self, ids_BL: Tensor, seen: Sight | None) -> Tensor:
        """Rows of ids with the frames' tokens in their places, (B, L, W)."""
        embedded = self.language.get_input_embeddings()(ids_BL)
        if seen is None:
            return embedded
        tokens = seen.tokens.flatten(0, 1).to(embedded.dtype)
        places = (ids_BL == self.marks.image)[..., None].expand_as(embedded)
        return embedded.masked_scatter(places, tokens)

    def shown(self, seen: Sight | None) -> Shown | None:
        """The things to copy words from; None for a model that copies none, or without frames."""
        if self.copier is None or seen is None:
            return None
        things = seen.features[:, self.projector.tokens :]
        shape, colour, place = (self.projector.part_of(things, part) for part in range(3))
        found = Things.of(self.layout.parts(seen.glances).things)
        return Shown.of(
            torch.stack([shape, colour, place], 2),
            read_words(self.language, shape)[..., self.copier.shapes],
            read_words(self.language, colour)[..., self.copier.colours],
            # What the actions move is called by what it does.
            (found.present[..., 0] > 0.5) & (found.driven[..., 0] < 0.5),
        )

    def answer(
        self, batch: dict[str, Tensor], seen: Sight | None = None, looks: bool = False
    ) -> Answered:
        """What comes next wherever an answer goes on.

        Args:
            batch: from `collate_rows`. Where it says what things are named, as in training, those
                that nothing must be concluded from are left out of the choice of what is copied.
            seen: its frames, where they were looked at already.
            looks: whether to return as well what the layers attend to.
        """
        ids = batch["ids"]
        seen = self.see(ids, batch["glances"]) if seen is None else seen
        hidden, attended = hidden_states(self.language, self.embed(ids, seen), batch, looks)
        said = next_logits(self.language, hidden, batch["labels"], batch["barred"])
        shown = self.shown(seen)
        if self.copier is None or shown is None:
            return Answered(said, attended)
        first = self.first_of_rows(ids)
        sees = batch["sees"][said.rows, said.places]
        frame = torch.where(sees > 0, first[said.rows] + sees - 1, -1)
        left_out = None
        if "named" in batch:
            part, slot = batch["copies"][:, 1:][said.rows, said.places].unbind(-1)
            left_out = unproven_things(batch["named"][frame.clamp(min=0)], slot.clamp(min=0))
            left_out &= ((part > OWN) & (frame >= 0))[:, None]
        before = Said.at(batch["labels"], batch["turns"], said.rows, said.places, self.copier.ids)
        there = hidden[said.rows, said.places]
        copied = self.copier(said.logits, there, shown, frame, before, left_out)
        return Answered(said._replace(logits=copied.words), attended, copied)


def answer_log_probability(model: VlmModel, batch: dict[str, Tensor]) -> Tensor:
    """Log-probability of all answers of each row together, float32 (B,)."""
    said = model.answer(batch).next
    each = -F.cross_entropy(said.logits, said.ids, reduction="none")
    return torch.zeros(len(batch["ids"]), device=each.device).index_add(0, said.rows, each)
