"""The processes of one training run: who goes first, and waiting for each other.

`torchrun` and `accelerate launch` say by RANK and WORLD_SIZE which process this is. On CPUs
accelerate can also start them through mpirun, whose own names accelerate reads for us.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate.utils import get_cpu_distributed_information
from torch import distributed

__all__ = ["first_process_first", "is_first", "joined_processes", "process_count", "wait_for_all"]

_log = logging.getLogger(__name__)


def process_count() -> int:
    """How many processes torchrun, accelerate or mpirun started."""
    return int(get_cpu_distributed_information().world_size)


def is_first() -> bool:
    """Whether this is the process that writes."""
    return int(get_cpu_distributed_information().rank) == 0


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
        _warn_of_a_lonely_process()
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    place = get_cpu_distributed_information()
    distributed.init_process_group(
        "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl",
        rank=place.rank,
        world_size=place.world_size,
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _warn_of_a_lonely_process() -> None:
    """`accelerate launch --cpu --num_processes 2` names a master, and starts one process."""
    launched = {"ACCELERATE_MIXED_PRECISION", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()
    if launched and process_count() == 1:
        _log.warning(
            "accelerate was asked for several processes and started one: say --multi_gpu, which "
            "starts them on CPUs too, or --mpirun_hostfile"
        )
