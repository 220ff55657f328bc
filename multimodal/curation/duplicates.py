"""Scenes and clips that are there twice, found by hash and embedding together.

Two pictures of one table share most of their hash, and two pictures of the same things most of
their embedding; what agrees in both shows the same things at the same places.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from multimodal.curation.hashing import hash_distances

__all__ = ["duplicate_groups"]

_BLOCK = 512


def duplicate_groups(
    hashes: NDArray[np.uint64],
    vectors: NDArray[np.float32],
    most_bits: int = 40,
    least_cosine: float = 0.6,
) -> list[list[int]]:
    """Items that show the same, each group in rising order.

    Args:
        hashes: uint64 (N, F, 4): of a still (F = 1), or of some frames of each clip.
        vectors: unit vectors float (N, E): of a still, or the normed mean over a clip.
        most_bits: hashes of 256 bits that differ in no more count as alike, in every frame.
        least_cosine: embeddings at least so similar count as alike; low, as compression moves a
            small CLIP's vectors far more than it moves the hash.

    Returns:
        The groups of two or more, by their first item.
    """
    found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for start in range(0, len(hashes), _BLOCK):
        mine = slice(start, start + _BLOCK)
        alike = vectors[mine] @ vectors.T >= least_cosine
        for frame in range(hashes.shape[1]):
            alike &= hash_distances(hashes[mine, frame], hashes[:, frame]) <= most_bits
        rows, columns = np.nonzero(alike)
        later = columns > rows + start
        found.append((rows[later] + start, columns[later]))
    if not found:
        return []
    rows, columns = (np.concatenate(each) for each in zip(*found, strict=True))
    graph = coo_array((np.ones(len(rows)), (rows, columns)), (len(hashes), len(hashes)))
    _, labels = connected_components(graph, directed=False)
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return sorted(group.tolist() for group in groups if len(group) > 1)
