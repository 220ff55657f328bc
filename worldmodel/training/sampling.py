"""Which samples a step trains on: a function of the seed and the step, and of nothing else."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from multimodal.errors import ConfigError, DatasetError

__all__ = ["StepBatches", "batch_of_step", "validation_batches"]


class _Permutations:
    """The shuffled order of each epoch; the last one is kept, since steps walk through it."""

    def __init__(self, samples: int, seed: int) -> None:
        self._samples = samples
        self._seed = seed
        self._epoch = -1
        self._order: NDArray[np.int64] = np.empty(0, np.int64)

    def of(self, epoch: int) -> NDArray[np.int64]:
        if epoch != self._epoch:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(self._samples)
            self._epoch = epoch
        return self._order


def batch_of_step(
    step: int, samples: int, batch_size: int, seed: int, orders: _Permutations | None = None
) -> list[int]:
    """The indices of one global batch. Every epoch is shuffled anew; batches run on across epochs.

    Args:
        step: from 0.
        samples: size of the dataset.
        batch_size: samples per step over all processes.
        seed: of the shuffling.
        orders: shuffled orders to use again between calls.

    Returns:
        `batch_size` indices into the dataset.
    """
    orders = orders or _Permutations(samples, seed)
    first = step * batch_size
    return [int(orders.of(i // samples)[i % samples]) for i in range(first, first + batch_size)]


class StepBatches(Sampler[list[int]]):
    """The micro-batches of one process from a step on; starting late costs nothing.

    Global batches do not depend on the number of processes: each process takes its slice of them.

    Args:
        samples: size of the dataset.
        batch_size: samples per step over all processes.
        seed: of the shuffling.
        start: the first step.
        stop: one past the last step.
        accumulate: micro-batches per step.
        rank: this process.
        processes: how many there are.

    Raises:
        ConfigError: the batch cannot be divided evenly.
        DatasetError: the dataset is empty.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        seed: int,
        start: int,
        stop: int,
        accumulate: int = 1,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        if samples < 1:
            raise DatasetError("the training set is empty: record episodes first")
        if batch_size % (accumulate * processes):
            raise ConfigError(
                f"batch_size={batch_size} cannot be divided evenly over {processes} processes and "
                f"accumulate={accumulate}: choose a multiple of {accumulate * processes}"
            )
        self._samples, self._batch_size, self._seed = samples, batch_size, seed
        self._steps = range(start, stop)
        self._accumulate, self._rank, self._processes = accumulate, rank, processes

    def __iter__(self) -> Iterator[list[int]]:
        orders = _Permutations(self._samples, self._seed)
        size = self._batch_size // (self._accumulate * self._processes)
        for step in self._steps:
            indices = batch_of_step(step, self._samples, self._batch_size, self._seed, orders)
            for micro in range(self._accumulate):
                first = (micro * self._processes + self._rank) * size
                yield indices[first : first + size]


def validation_batches(
    samples: int, batch_size: int, rank: int = 0, processes: int = 1
) -> list[list[int]]:
    """This process's share of the fixed validation batches.

    With several processes the tail that cannot be shared evenly (fewer samples than processes) is
    left out, since every process has to run the same number of equal batches.

    Args:
        samples: size of the validation set.
        batch_size: samples per batch over all processes.
        rank: this process.
        processes: how many there are.

    Returns:
        Lists of indices; over all processes each sample comes once.
    """
    usable = samples - samples % processes
    share = []
    for first in range(0, usable, batch_size):
        indices = list(range(first, min(first + batch_size, usable)))
        size = len(indices) // processes
        share.append(indices[rank * size : (rank + 1) * size])
    return share
