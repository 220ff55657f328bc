"""The vision-language model in LLaVA's form: vision tower, projector, language model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from safetensors.torch import load_file, save_file
from torch import Tensor

from multimodal.errors import CheckpointError
from multimodal.glance import GlanceLayout
from multimodal.tower import VisionTower
from multimodal.vlm.language import hidden_states, language_from_config, next_logits
from multimodal.vlm.projector import FrameTokens, Projector
from multimodal.vlm.turns import Marks

__all__ = ["VlmModel", "answer_log_probability"]

_WEIGHTS = "model.safetensors"


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
    ) -> None:
        super().__init__()
        self.language = language_from_config(language_config)
        self.layout = GlanceLayout(tokens, channels, slots, fine_px)
        self.tower = VisionTower(self.layout, width, hidden, layers, heads, neighbours, changes)
        out = self.language.config.hidden_size
        self.projector = Projector(width, out, merge, tokens, details, exchanges)
        self.marks = Marks(**mark_ids)

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
        if unknown or set(missing) - model._tied():
            raise CheckpointError(
                f"{path} does not fit its config.json: {len(unknown)} weights are unknown, "
                f"{len(set(missing) - model._tied())} are missing. Restore the folder."
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

    def first_frames(self, ids_BL: Tensor) -> Tensor:
        """For each frame of all rows the number of its row's first, int64 (F,)."""
        frames = (ids_BL == self.marks.image).sum(1) // self.frame_tokens
        return (frames.cumsum(0) - frames).repeat_interleave(frames)

    def features(self, ids_BL: Tensor, glances_FP: Tensor) -> Tensor:
        """The tower's features (F, N + K, D) of the frames of all rows.

        Args:
            ids_BL: int64, with as many image tokens as the frames have together.
            glances_FP: the frames of all rows, one after the other.
        """
        return self.tower(glances_FP, glances_FP[self.first_frames(ids_BL)])

    def embed(self, ids_BL: Tensor, glances_FP: Tensor, tokens_FMW: Tensor | None = None) -> Tensor:
        """Rows of ids with the frames' tokens in their places, (B, L, W).

        Args:
            ids_BL: int64, with as many image tokens as the frames have together.
            glances_FP: the frames of all rows, one after the other.
            tokens_FMW: their tokens where they are known already.
        """
        embedded = self.language.get_input_embeddings()(ids_BL)
        if not len(glances_FP):
            return embedded
        if tokens_FMW is None:
            tokens_FMW = self.projector(self.features(ids_BL, glances_FP))
        seen = tokens_FMW.flatten(0, 1).to(embedded.dtype)
        places = (ids_BL == self.marks.image)[..., None].expand_as(embedded)
        return embedded.masked_scatter(places, seen)

    def hidden(self, batch: dict[str, Tensor], tokens_FMW: Tensor | None = None) -> Tensor:
        """The language model's last hidden state (B, L, W) of a batch from `collate_rows`."""
        embedded = self.embed(batch["ids"], batch["glances"], tokens_FMW)
        return hidden_states(self.language, embedded, batch)[0]

    def answer_logits(
        self, batch: dict[str, Tensor], tokens_FMW: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits where an answer's token comes next.

        Args:
            batch: from `collate_rows`.
            tokens_FMW: the tokens of its frames where they are known already.

        Returns:
            logits float32 (X, vocabulary), the right ids int64 (X,), and the numbers of their
            rows int64 (X,).
        """
        hidden = self.hidden(batch, tokens_FMW)
        return next_logits(self.language, hidden, batch["labels"], batch["barred"])


def answer_log_probability(model: VlmModel, batch: dict[str, Tensor]) -> Tensor:
    """Log-probability of all answers of each row together, float32 (B,)."""
    logits, ids, rows = model.answer_logits(batch)
    each = -F.cross_entropy(logits, ids, reduction="none")
    return torch.zeros(len(batch["ids"]), device=each.device).index_add(0, rows, each)
