"""The vision-language model in LLaVA's form: vision tower, projector, language model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from multimodal.errors import CheckpointError
from multimodal.glance import GlanceLayout
from multimodal.tower import VisionTower, part_sizes
from multimodal.vlm.language import hidden_states, language_from_config, next_logits
from multimodal.vlm.turns import Marks

__all__ = ["Projector", "VlmModel", "answer_log_probability", "frame_tokens"]

_WEIGHTS = "model.safetensors"
# Of each number of a word's embedding, about.
_WORD_SIZE = 0.1


class Projector(nn.Module):
    """Features of the tower as tokens of the language model (arXiv 2310.03744's MLP).

    The grid's go through it in blocks. A thing's go through one linear map, so that what is apart
    in them stays apart; each part is scaled by itself, so that none drowns the others. All tokens
    come out about as large as those of words.

    Args:
        width: D, channels of the tower.
        out: W, channels of the language model.
        merge: rows and columns of the block that becomes one token.
        tokens: N of the grid; what comes after are things.
    """

    def __init__(self, width: int, out: int, merge: tuple[int, int], tokens: int) -> None:
        super().__init__()
        self.merge, self.tokens = merge, tokens
        self.layers = nn.Sequential(
            nn.Linear(merge[0] * merge[1] * width, out), nn.GELU(), nn.Linear(out, out)
        )
        self.parts = nn.ModuleList(nn.LayerNorm(size) for size in part_sizes(width))
        self.things = nn.Linear(width, out)
        self.norm = nn.RMSNorm(out)
        nn.init.constant_(self.norm.weight, _WORD_SIZE)

    def forward(self, features_BND: Tensor) -> Tensor:
        """Features (B, N + K, D) of square frames to tokens (B, N / block + K, W)."""
        grid, things = features_BND[:, : self.tokens], features_BND[:, self.tokens :]
        seen = self.things(torch.cat(self._scaled(things), -1))
        return self.norm(torch.cat([self.layers(self.blocks(grid)), seen], 1).float())

    def blocks(self, grid_BND: Tensor) -> Tensor:
        """The grid (B, N, D) of a square frame in blocks (B, N / block, block · D)."""
        side, (rows, columns) = round(self.tokens**0.5), self.merge
        grid = grid_BND.unflatten(1, (side // rows, rows, side // columns, columns))
        return grid.transpose(2, 3).flatten(3, 5).flatten(1, 2)

    def part_of(self, things_XD: Tensor, part: int) -> Tensor:
        """Things (X, D) as tokens (X, W) of one part alone.

        Args:
            things_XD: features of things.
            part: 0 for the shape, 1 for the colour, 2 for the place.
        """
        kept = [
            each if number == part else torch.zeros_like(each)
            for number, each in enumerate(self._scaled(things_XD))
        ]
        tokens: Tensor = self.norm(self.things(torch.cat(kept, -1)).float())
        return tokens

    def _scaled(self, things: Tensor) -> list[Tensor]:
        sizes = part_sizes(things.shape[-1])
        apart = zip(self.parts, things.split(sizes, -1), strict=True)
        return [norm(part) for norm, part in apart]


def frame_tokens(config: Mapping[str, Any]) -> int:
    """Tokens of the language model that a frame takes, by a model's configuration."""
    rows, columns = config["merge"]
    return int(config["tokens"] // (rows * columns) + config.get("slots", 0))


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
    ) -> None:
        super().__init__()
        self.language = language_from_config(language_config)
        self.layout = GlanceLayout(tokens, channels, slots, fine_px)
        self.tower = VisionTower(self.layout, width, hidden, layers, heads, neighbours, changes)
        self.projector = Projector(width, self.language.config.hidden_size, merge, tokens)
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
    def frame_tokens(self) -> int:
        """Tokens of the language model that a frame takes."""
        return frame_tokens(self.config)

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

    def embed(
        self, ids_BL: Tensor, glances_FP: Tensor, features_FND: Tensor | None = None
    ) -> Tensor:
        """Rows of ids with the frames' tokens in their places, (B, L, W).

        Args:
            ids_BL: int64, with as many image tokens as the frames have together.
            glances_FP: the frames of all rows, one after the other.
            features_FND: the tower's features of them where they are known already.
        """
        embedded = self.language.get_input_embeddings()(ids_BL)
        if not len(glances_FP):
            return embedded
        if features_FND is None:
            features_FND = self.features(ids_BL, glances_FP)
        seen = self.projector(features_FND).flatten(0, 1).to(embedded.dtype)
        places = (ids_BL == self.marks.image)[..., None].expand_as(embedded)
        return embedded.masked_scatter(places, seen)

    def hidden(self, batch: dict[str, Tensor], features_FND: Tensor | None = None) -> Tensor:
        """The language model's last hidden state (B, L, W) of a batch from `collate_rows`."""
        embedded = self.embed(batch["ids"], batch["glances"], features_FND)
        return hidden_states(self.language, embedded, batch)

    def answer_logits(
        self, batch: dict[str, Tensor], features_FND: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits where an answer's token comes next.

        Args:
            batch: from `collate_rows`.
            features_FND: the tower's features of its frames where they are known already.

        Returns:
            logits float32 (X, vocabulary), the right ids int64 (X,), and the numbers of their
            rows int64 (X,).
        """
        hidden = self.hidden(batch, features_FND)
        return next_logits(self.language, hidden, batch["labels"], batch["barred"])


def answer_log_probability(model: VlmModel, batch: dict[str, Tensor]) -> Tensor:
    """Log-probability of all answers of each row together, float32 (B,)."""
    logits, ids, rows = model.answer_logits(batch)
    each = -F.cross_entropy(logits, ids, reduction="none")
    return torch.zeros(len(batch["ids"]), device=each.device).index_add(0, rows, each)
