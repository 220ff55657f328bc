"""The state of a training run as a checkpoint of safetensors and JSON, and back, exactly.

Parameters and optimizer moments are kept by parameter name and unsharded, so a run can go on with
another number of processes.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.errors import CheckpointError
from worldmodel.checkpoint import verify, write_manifest
from worldmodel.durable import atomic_directory
from worldmodel.training.tensors import read_tensors, write_tensors

__all__ = [
    "KIND",
    "ProcessState",
    "Progress",
    "TrainingState",
    "load_model",
    "load_optimizer_state",
    "named_optimizer_state",
    "read_progress",
    "read_state",
    "write_state",
]

KIND = "training"
_MODEL = "model.safetensors"
_OPTIMIZER = "optimizer.safetensors"
_PROCESSES = "processes.safetensors"
_STATE = "training.json"
# The name transformers.Trainer looks for when it resumes.
TRAINER_STATE = "trainer_state.json"


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: optimizer steps done.
        seconds: time spent training.
        precision: format of the matrix products.
    """

    step: int
    seconds: float
    precision: str


@dataclass(frozen=True)
class ProcessState:
    """What differs between the processes of a run: random generators and sums not yet logged.

    Attributes:
        values: JSON values.
        tensors: small tensors.
    """

    values: dict[str, Any]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class TrainingState:
    """Everything a run needs to go on as if it had never stopped.

    Attributes:
        progress: how far it is.
        model: parameters and buffers by name.
        moments: optimizer tensors, named `<parameter>|<moment>`.
        groups: the optimizer's parameter groups, parameters by name.
        scheduler: the learning-rate schedule's state.
        processes: one state per process.
        settings: the settings it ran with, for the reader.
    """

    progress: Progress
    model: dict[str, Tensor]
    moments: dict[str, Tensor]
    groups: list[dict[str, Any]]
    scheduler: dict[str, Any]
    processes: list[ProcessState]
    settings: dict[str, Any]


def write_state(target: Path, state: TrainingState, trainer_state: str) -> None:
    """Write a checkpoint: all of it, or nothing.

    Args:
        target: the checkpoint's folder.
        state: what to write.
        trainer_state: transformers' own account of the run, as JSON text.

    Raises:
        DiskFullError: the disk is full; earlier checkpoints are intact.
    """
    values = {
        "progress": asdict(state.progress),
        "settings": state.settings,
        "groups": state.groups,
        "scheduler": state.scheduler,
        "processes": [process.values for process in state.processes],
    }
    small = {
        f"{rank}|{name}": tensor
        for rank, process in enumerate(state.processes)
        for name, tensor in process.tensors.items()
    }
    with atomic_directory(target) as folder:
        write_tensors(folder / _MODEL, state.model)
        write_tensors(folder / _OPTIMIZER, state.moments)
        write_tensors(folder / _PROCESSES, small)
        (folder / _STATE).write_text(json.dumps(values), encoding="utf-8")
        (folder / TRAINER_STATE).write_text(trainer_state, encoding="utf-8")
        write_manifest(folder, KIND, asdict(state.progress))


def read_progress(checkpoint: Path) -> Progress:
    """Read how far a checkpoint is, after comparing it with its manifest.

    Raises:
        CheckpointError: the checkpoint is torn, altered or of another kind.
    """
    manifest = verify(checkpoint, KIND)
    return Progress(manifest["step"], manifest["seconds"], manifest["precision"])


def read_state(checkpoint: Path) -> TrainingState:
    """Read a checkpoint that `verify` has accepted."""
    values = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    small = read_tensors(checkpoint / _PROCESSES)
    processes = []
    for rank, mine in enumerate(values["processes"]):
        prefix = f"{rank}|"
        tensors = {
            name.removeprefix(prefix): tensor
            for name, tensor in small.items()
            if name.startswith(prefix)
        }
        processes.append(ProcessState(mine, tensors))
    return TrainingState(
        progress=Progress(**values["progress"]),
        model=read_tensors(checkpoint / _MODEL),
        moments=read_tensors(checkpoint / _OPTIMIZER),
        groups=values["groups"],
        scheduler=values["scheduler"],
        processes=processes,
        settings=values["settings"],
    )


def load_model(model: nn.Module, tensors: Mapping[str, Tensor], checkpoint: Path) -> None:
    """Load parameters and buffers into a module that is not sharded.

    Args:
        model: the module.
        tensors: parameters and buffers by name.
        checkpoint: where they come from, for the message.

    Raises:
        CheckpointError: the checkpoint belongs to another architecture.
    """
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"{checkpoint} belongs to another architecture than this configuration's: {error}. "
            "Use the configuration it was trained with, or start anew with resume=never"
        ) from error


def named_optimizer_state(
    optimizer: torch.optim.Optimizer, names: Mapping[int, str]
) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Take an optimizer's state by parameter name.

    Args:
        optimizer: after any number of steps.
        names: the parameters' names by `id`.

    Returns:
        Moments named `<parameter>|<moment>`, and the parameter groups as JSON values.
    """
    moments = {
        f"{names[id(parameter)]}|{moment}": torch.as_tensor(value)
        for parameter, state in optimizer.state.items()
        for moment, value in state.items()
    }
    groups = [
        {**group, "params": [names[id(parameter)] for parameter in group["params"]]}
        for group in optimizer.param_groups
    ]
    return moments, groups


def load_optimizer_state(
    optimizer: torch.optim.Optimizer,
    names: Mapping[int, str],
    moments: Mapping[str, Tensor],
    groups: list[dict[str, Any]],
) -> None:
    """Put back what `named_optimizer_state` took.

    Raises:
        CheckpointError: the optimizer groups other parameters.
    """
    ours = [[names[id(p)] for p in group["params"]] for group in optimizer.param_groups]
    if ours != [group["params"] for group in groups]:
        raise CheckpointError(
            "the checkpoint's optimizer state belongs to other parameters than this "
            "configuration's: use the configuration it was trained with, or resume=never"
        )
    order = [name for group in ours for name in group]
    place = {name: index for index, name in enumerate(order)}
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in moments.items():
        name, _, moment = key.rpartition("|")
        state.setdefault(place[name], {})[moment] = tensor
    param_groups = []
    for group in groups:
        loaded = {key: tuple(v) if isinstance(v, list) else v for key, v in group.items()}
        param_groups.append({**loaded, "params": [place[name] for name in group["params"]]})
    optimizer.load_state_dict({"state": state, "param_groups": param_groups})
