"""Which episodes are for training and which are held out: decided by the episode's seed alone."""

import hashlib

from multimodal.episode import SPLITS
from multimodal.errors import ConfigError

__all__ = ["seeds_of", "split_of"]

TRAIN_SHARE, VALIDATION_SHARE = 0.9, 0.05


def split_of(seed: int) -> str:
    """The split an episode of this seed belongs to, everywhere and for ever: 90/5/5.

    Returns:
        "train", "validation" or "test", by a hash of the seed.
    """
    digest = hashlib.blake2b(f"split:{seed}".encode(), digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    if share < TRAIN_SHARE:
        return "train"
    return "validation" if share < TRAIN_SHARE + VALIDATION_SHARE else "test"


def seeds_of(split: str, n: int, start: int = 0) -> list[int]:
    """The first `n` seeds from `start` on that belong to a split, in rising order.

    Held-out episodes can so be made anew from their seeds, without any recorded data.

    Raises:
        ConfigError: there is no such split.
    """
    if split not in SPLITS:
        raise ConfigError(f"split is {split!r}; expected one of {', '.join(SPLITS)}.")
    seeds: list[int] = []
    seed = start
    while len(seeds) < n:
        if split_of(seed) == split:
            seeds.append(seed)
        seed += 1
    return seeds
