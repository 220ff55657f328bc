"""Batched observations and infos, compared and taken apart whatever they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["as_numpy", "lane", "same"]


def as_numpy(value: Any) -> Any:
    """The same structure with NumPy arrays in place of tensors."""
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    if isinstance(value, Mapping):
        return {key: as_numpy(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(as_numpy(part) for part in value)
    return value


def lane(value: Any, index: int) -> Any:
    """One lane of a batched structure."""
    if isinstance(value, Mapping):
        return {key: lane(part, index) for key, part in value.items()}
    if isinstance(value, tuple) and not all(np.isscalar(part) for part in value):
        return tuple(lane(part, index) for part in value)
    return value[index]


def same(one: Any, two: Any) -> bool:
    """Whether two structures are equal in keys, shapes, types and values; NaN equals NaN."""
    if isinstance(one, Mapping):
        return (
            isinstance(two, Mapping)
            and one.keys() == two.keys()
            and all(same(one[key], two[key]) for key in one)
        )
    if isinstance(one, (tuple, list)):
        return (
            isinstance(two, (tuple, list))
            and len(one) == len(two)
            and all(same(a, b) for a, b in zip(one, two, strict=True))
        )
    a, b = np.asarray(one), np.asarray(two)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype == object:
        if a.ndim == 0:
            return bool(a.item() == b.item())
        return all(same(x, y) for x, y in zip(a.ravel(), b.ravel(), strict=True))
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
