"""The arguments of a vector environment's reset, told apart by lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.errors import ConfigError

__all__ = ["lane_mask", "lane_options", "lane_seeds"]

# Rank of an option that is meant for one lane; one more is a first axis of lanes.
_RANKS = {"frames": (3, 4), "actions": (2,), "goal": (1,), "instruction": (0,)}


def lane_mask(mask: Any, lanes: int) -> NDArray[np.bool_]:
    """Which lanes to reset, all of them when `mask` is None.

    Raises:
        ConfigError: not bool (N,), or no lane in it.
    """
    if mask is None:
        return np.ones(lanes, np.bool_)
    array = mask.cpu().numpy() if isinstance(mask, torch.Tensor) else np.asarray(mask)
    if array.shape != (lanes,) or array.dtype != np.bool_ or not array.any():
        raise ConfigError(
            f"reset_mask must be bool ({lanes},) with at least one True, "
            f"got {array.dtype} {array.shape}: {array}."
        )
    return array.copy()


def lane_seeds(seed: int | Sequence[int | None] | None, lanes: int) -> list[int | None]:
    """One seed for each lane, counting up from an integer.

    Raises:
        ConfigError: another number of seeds than lanes.
    """
    if seed is None:
        return [None] * lanes
    if isinstance(seed, (int, np.integer)):
        return [int(seed) + lane for lane in range(lanes)]
    if len(seed) != lanes:
        raise ConfigError(f"{lanes} lanes need {lanes} seeds, got {len(seed)}.")
    return [None if value is None else int(value) for value in seed]


def lane_options(options: Mapping[str, Any], lane: int, lanes: int) -> dict[str, Any]:
    """What `options` say about one lane.

    Frames of rank 4 are one clip for all lanes, frames of rank 5 one clip for each.

    Raises:
        ConfigError: a first axis that is not the number of lanes.
    """
    own: dict[str, Any] = {}
    for name, value in options.items():
        rank = np.ndim(value)
        ranks = _RANKS.get(name)
        if value is None or ranks is None or rank in ranks:
            own[name] = value
            continue
        if rank != ranks[-1] + 1 or len(value) != lanes:
            raise ConfigError(
                f"{name} of shape {np.shape(value)} is neither for one lane nor for {lanes}: "
                "put the lanes on the first axis."
            )
        own[name] = value[lane]
    return own
