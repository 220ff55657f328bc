"""How the eyes learn: from the state that was recorded beside every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from agents.policy.eyes import PushEyes
from agents.policy.sight import Sight
from envs.push_scene import COLOURS, SHAPES
from multimodal.flat import FlatEpisodes

__all__ = ["SightFrames", "SightObjective", "true_sight"]

_K = len(COLOURS)
_CUBE, _TRIANGLE, _CROSS = (SHAPES.index(name) for name in ("cube", "triangle", "cross"))


def true_sight(state: Mapping[str, NDArray[Any]]) -> Sight:
    """The sight that perfect eyes would have.

    Args:
        state: named state of B frames of a Push world, each entry with a leading axis of B.

    Returns:
        The sight, absent things at zero.
    """
    batch = len(state["pusher_position_m"])
    rows = np.arange(batch)[:, None]
    objects, zones = np.zeros((batch, _K + 1, 2)), np.zeros((batch, _K, 2))
    present, zone_there = np.zeros((batch, _K + 1)), np.zeros((batch, _K))
    looks = np.zeros((batch, _K + 1, len(SHAPES) + 4))
    # Slots without an object carry the colour -1, which is the spare last row.
    colour, shape = state["object_colour"], np.maximum(state["object_shape"], 0)
    objects[rows, colour] = state["object_position_m"]
    present[rows, colour] = 1
    yaw = state["object_yaw_rad"]
    look = np.zeros((*colour.shape, len(SHAPES) + 4))
    np.put_along_axis(look, shape[..., None], 1.0, -1)
    three, four = shape == _TRIANGLE, (shape == _CUBE) | (shape == _CROSS)
    turns = [np.cos(3 * yaw) * three, np.sin(3 * yaw) * three]
    turns += [np.cos(4 * yaw) * four, np.sin(4 * yaw) * four]
    look[..., len(SHAPES) :] = np.stack(turns, -1)
    looks[rows, colour] = look
    zones[rows, state["zone_colour"]] = state["zone_position_m"]
    zone_there[rows, state["zone_colour"]] = 1
    arrays = (
        state["pusher_position_m"],
        objects[:, :_K],
        present[:, :_K],
        zones,
        zone_there,
        looks[:, :_K],
    )
    return Sight(*(torch.from_numpy(np.asarray(array, np.float32)) for array in arrays))


class SightFrames(Dataset[dict[str, Tensor]]):
    """Single frames, as latents and as the true sight; item i is a function of (seed, i) alone.

    Args:
        flat: the recorded dataset of a Push world.
        latents: its latents float16 (F, N, C).
        split: "train", "validation" or "test".
        seed: what the draws depend on besides i.
        samples: the length of this dataset.
    """

    def __init__(
        self,
        flat: FlatEpisodes,
        latents: NDArray[np.float16],
        split: str,
        seed: int,
        samples: int,
    ) -> None:
        self._flat, self._latents, self._seed, self._samples = flat, latents, seed, samples
        spans = [
            np.arange(flat.starts[e], flat.starts[e + 1], dtype=np.int64)
            for e in flat.episodes(split)
        ]
        self._rows = np.concatenate(spans)

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """Several frames at once."""
        draws = [np.random.default_rng([self._seed, i]).integers(len(self._rows)) for i in indices]
        rows = self._rows[draws]
        latents = torch.from_numpy(self._latents[rows])
        sight = true_sight({name: array[rows] for name, array in self._flat.state.items()}).vector()
        return [{"latents": latents[i], "sight": sight[i]} for i in range(len(rows))]


class SightObjective(nn.Module):
    """Positions by smooth L1 and by which cell is hot; presence, shape and turn beside them.

    Args:
        eyes: what learns.
        noise: standard deviation added to the latents, as a world model's frames are not exact.
    """

    def __init__(self, eyes: PushEyes, noise: float = 0.1) -> None:
        super().__init__()
        self.eyes, self.noise = eyes, noise

    def forward(self, latents: Tensor, sight: Tensor) -> dict[str, Tensor]:
        """Loss and errors of a batch.

        Args:
            latents: (B, N, C).
            sight: true sights as vectors (B, SIGHT_DIM).
        """
        latents = latents.float()
        if self.training:
            latents = latents + self.noise * torch.randn_like(latents)
        seen, heat = self.eyes(latents)
        truth = Sight.from_vector(sight)
        guess = torch.cat([seen.pusher_m[:, None], seen.objects_m, seen.zones_m], 1)
        where = torch.cat([truth.pusher_m[:, None], truth.objects_m, truth.zones_m], 1)
        there = torch.cat([truth.object_present, truth.zone_present], 1)
        counts = torch.cat([torch.ones_like(there[:, :1]), there], 1)
        # In units of a centimetre, beyond which errors count linearly.
        miss = F.smooth_l1_loss(guess * 100, where * 100, reduction="none").sum(-1)
        place_loss = (miss * counts).sum() / counts.sum()
        gap = (where[:, :, None] - self.eyes.centres_m).square().sum(-1)
        cell = F.cross_entropy(heat.flatten(0, 1), gap.argmin(-1).flatten(), reduction="none")
        cell_loss = (cell.view_as(counts) * counts).sum() / counts.sum()
        logits = torch.cat([seen.object_present, seen.zone_present], 1)
        there_loss = F.binary_cross_entropy_with_logits(logits, there)
        present = truth.object_present
        kinds = len(SHAPES)
        shape = F.cross_entropy(
            seen.looks[..., :kinds].flatten(0, 1),
            truth.looks[..., :kinds].flatten(0, 1),
            reduction="none",
        ).view_as(present)
        turn = (seen.looks[..., kinds:] - truth.looks[..., kinds:]).square().sum(-1)
        look_loss = ((shape + turn) * present).sum() / present.sum()
        error = (guess - where).norm(dim=-1)
        return {
            "loss": place_loss + 0.3 * cell_loss + there_loss + 0.1 * look_loss,
            "pusher_error_m": error[:, 0].mean(),
            "object_error_m": (error[:, 1 : 1 + _K] * present).sum() / present.sum(),
            "zone_error_m": (error[:, 1 + _K :] * truth.zone_present).sum()
            / truth.zone_present.sum(),
            "there": there_loss,
            "look": look_loss,
        }
