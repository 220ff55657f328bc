"""How the eyes over layers learn: which sprite is which, from the recorded state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import Dataset

from agents.policy.layer_eyes import LayerEyes, ZoneMaps
from agents.policy.sight import Sight
from agents.policy.sight_objective import true_sight
from envs.layer_stage import body_tracks
from envs.push_scene import COLOURS, SHAPES, ZONE_RADIUS_M
from multimodal.errors import DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.layers import LayerReader, Layers

__all__ = ["LayerFrames", "LayerSightObjective", "LookedAt", "look_at"]

_K = len(COLOURS)
_KINDS = len(SHAPES)
_BATCH = 64
# A sprite whose centre was read further off than this is of another body.
_SAME_PX = 4.0
# A class that cross-entropy leaves out.
_UNKNOWN = -100


@dataclass(frozen=True)
class LookedAt:
    """F recorded frames in layers, beside what they truly show; K slots.

    Attributes:
        layers: as they were read; plate and sprites in half precision.
        sight: the true sight, as vectors (F, S).
        colour: of each slot's object, -100 where it is none, int64 (F, K).
    """

    layers: Layers
    sight: Tensor
    colour: Tensor

    def __len__(self) -> int:
        return len(self.sight)


def look_at(reader: LayerReader, flat: FlatEpisodes, split: str, count: int, seed: int) -> LookedAt:
    """Take recorded frames apart, and say which sprite is which object.

    Args:
        reader: takes frames apart.
        flat: the recorded dataset of a Push world.
        split: whose episodes are drawn from.
        count: F, at most; the split may have fewer.
        seed: of the draw.

    Raises:
        DatasetError: the split has no episodes.
    """
    spans = [np.arange(flat.starts[e], flat.starts[e + 1]) for e in flat.episodes(split)]
    if not spans:
        raise DatasetError(f"{flat.path} has no episodes of the {split} split to look at.")
    rows = np.concatenate(spans)
    rng = np.random.default_rng([seed, len(rows)])
    rows = np.sort(rng.choice(rows, min(count, len(rows)), replace=False))
    parts = []
    for begin in track(range(0, len(rows), _BATCH), "taking frames apart", transient=True):
        frames = torch.from_numpy(flat.frames[rows[begin : begin + _BATCH]])
        read = reader.read(frames.to(reader.device))
        parts.append(
            read._replace(plate=read.plate.half().cpu(), sprites=read.sprites.half().cpu())
        )
    layers = Layers(
        *(torch.cat([part.cpu() for part in field]) for field in zip(*parts, strict=True))
    )
    state = {name: array[rows] for name, array in flat.state.items()}
    tracks = body_tracks(state, flat.frames.shape[1])
    apart = layers.pose[:, :, None, :2] - torch.from_numpy(tracks.pose[:, None, :, :2])
    gap = apart.norm(dim=-1).masked_fill(~torch.from_numpy(tracks.present)[:, None], torch.inf)
    nearest_px, body = gap.min(-1)
    # Body 0 is the pusher, which has no colour to be named by.
    named = torch.from_numpy(np.pad(state["object_colour"], ((0, 0), (1, 0)), constant_values=-1))
    colour = named.long().gather(1, body)
    known = layers.present & (nearest_px < _SAME_PX) & (colour >= 0)
    return LookedAt(layers, true_sight(state).vector(), torch.where(known, colour, _UNKNOWN))


class LayerFrames(Dataset[dict[str, Tensor]]):
    """Frames in layers with the true sight; item i is a function of (seed, i) alone.

    Args:
        looked: what is drawn from.
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
    """

    def __init__(self, looked: LookedAt, seed: int, samples: int) -> None:
        self._looked, self._seed, self._samples = looked, seed, samples

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """Several frames at once."""
        looked = self._looked
        draws = [np.random.default_rng([self._seed, i]).integers(len(looked)) for i in indices]
        rows = torch.as_tensor(draws)
        named = {
            "plate": looked.layers.plate[rows],
            "sprites": looked.layers.sprites[rows],
            "sight": looked.sight[rows],
            "colour": looked.colour[rows],
        }
        return [{name: value[i] for name, value in named.items()} for i in range(len(indices))]


class LayerSightObjective(nn.Module):
    """Colour, shape and turn of sprites; places of zones by smooth L1 and by which patch is hot.

    Args:
        eyes: what learns.
        noise: standard deviation added to colours and opacities.
    """

    def __init__(self, eyes: LayerEyes, noise: float = 0.02) -> None:
        super().__init__()
        self.eyes, self.noise = eyes, noise

    def forward(
        self, plate: Tensor, sprites: Tensor, sight: Tensor, colour: Tensor
    ) -> dict[str, Tensor]:
        """Loss and errors of a batch.

        Args:
            plate: (B, 3, H, W).
            sprites: (B, K, 4, S, S).
            sight: true sights as vectors (B, S).
            colour: of each slot's object (B, K), -100 where it is none.
        """
        plate, sprites = plate.float(), sprites.float()
        if self.training:
            plate = plate + self.noise * torch.randn_like(plate)
            sprites = sprites + self.noise * torch.randn_like(sprites)
        truth = Sight.from_vector(sight)
        known = colour >= 0
        colours, looks = self.eyes.sprites(sprites[known])
        named = colour[known]
        lanes = known.nonzero()[:, 0]
        wanted = truth.looks[lanes, named]
        colour_loss = F.cross_entropy(colours, named)
        shape_loss = F.cross_entropy(looks[:, :_KINDS], wanted[:, :_KINDS].argmax(-1))
        turn_loss = (looks[:, _KINDS:] - wanted[:, _KINDS:]).square().sum(-1).mean()
        zones = self.eyes.zone_maps(plate)
        here = truth.zone_present
        miss = F.smooth_l1_loss(zones.place_m * 100, truth.zones_m * 100, reduction="none").sum(-1)
        place_loss = (miss * here).sum() / here.sum()
        cell_loss, vote_loss = self._cells(zones, truth)
        there_loss = F.binary_cross_entropy_with_logits(zones.there, here)
        zone_loss = 0.3 * place_loss + 3 * cell_loss + vote_loss + 0.3 * there_loss
        error = (zones.place_m - truth.zones_m).norm(dim=-1)
        return {
            "loss": colour_loss + shape_loss + 0.3 * turn_loss + zone_loss,
            "colour_wrong": (colours.argmax(-1) != named).float().mean(),
            "shape_wrong": (looks[:, :_KINDS].argmax(-1) != wanted[:, :_KINDS].argmax(-1))
            .float()
            .mean(),
            "turn": turn_loss,
            "zone_error_m": (error * here).sum() / here.sum(),
            "there": there_loss,
        }

    def _cells(self, zones: ZoneMaps, truth: Sight) -> tuple[Tensor, Tensor]:
        """Loss of which zone a cell is of, and of where that zone's centre lies."""
        gap = (truth.zones_m[:, :, None] - self.eyes.centres_m).norm(dim=-1)
        inside = (gap < ZONE_RADIUS_M) & (truth.zone_present[..., None] > 0)
        # The last class is of no zone.
        label = torch.where(inside.any(1), inside.float().argmax(1), _K)
        cell_loss = F.cross_entropy(zones.kind, label)
        wanted = truth.zones_m.gather(1, label.clamp(max=_K - 1)[..., None].expand(-1, -1, 2))
        miss = F.smooth_l1_loss(zones.point_m * 100, wanted * 100, reduction="none").sum(-1)
        counted = (label < _K).float()
        return cell_loss, (miss * counted).sum() / counted.sum().clamp(min=1)
