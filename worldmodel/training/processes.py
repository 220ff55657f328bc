"""The processes of one training run: who goes first, and waiting for each other."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed

__all__ = ["first_process_first", "is_first", "joined_processes", "process_count", "wait_for_all"]


def process_count() -> int:
    """How many processes torchrun or accelerate started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def wait_for_all() -> None:
    """Wait until all processes are here; a process alone goes on at once."""
    if process_count() > 1 and distributed.is_initialized():
        distributed.barrier()


@contextmanager
def first_process_first() -> Iterator[None]:
    """Let the first process through alone, the others when it is done.

    For files that one process makes and all of them read.
    """
    if not is_first():
        wait_for_all()
    yield
    if is_first():
        wait_for_all()


@contextmanager
def joined_processes(device: torch.device) -> Iterator[None]:
    """Let the processes know each other while the block lasts; a process alone needs nothing.

    Args:
        device: where they train.
    """
    if process_count() == 1 or distributed.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl")
    try:
        yield
    finally:
        distributed.destroy_process_group()
