"""Whole parameters and optimizer moments from modules that FSDP has sharded, and back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor, distribute_tensor

__all__ = ["gather_moments", "gather_parameters", "load_moments", "load_parameters"]

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def gather_parameters(model: nn.Module) -> dict[str, Tensor]:
    """Whole parameters and buffers by name; every process has to call, the first gets them."""
    whole: dict[str, Any] = get_model_state_dict(model, options=_WHOLE)
    return whole


def gather_moments(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Whole optimizer moments named `<parameter>|<moment>`, and the parameter groups.

    Every process has to call; the first gets them.
    """
    whole: dict[str, Any] = get_optimizer_state_dict(model, optimizer, options=_WHOLE)
    moments = {
        f"{name}|{moment}": torch.as_tensor(value)
        for name, state in whole.get("state", {}).items()
        for moment, value in state.items()
    }
    return moments, whole.get("param_groups", [])


def load_parameters(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load whole parameters and buffers into a module that FSDP2 has sharded.

    Every process has to call, each with the whole tensors. Shared modules may have several names.

    Args:
        model: the sharded module.
        tensors: parameters and buffers by name.
    """
    # torch's set_model_state_dict shards a shared parameter under one of its names only.
    shards = {
        name: distribute_tensor(
            tensors[name].to(ours.device), ours.device_mesh, list(ours.placements)
        )
        if isinstance(ours, DTensor)
        else tensors[name]
        for name, ours in model.state_dict().items()
    }
    model.load_state_dict(shards)


def load_moments(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    moments: Mapping[str, Tensor],
    groups: list[dict[str, Any]],
) -> None:
    """Load whole moments into the optimizer over a module that FSDP has sharded.

    Args:
        model: the sharded module.
        optimizer: over its parameters.
        moments: named `<parameter>|<moment>`.
        groups: the parameter groups, parameters by name.
    """
    state: dict[str, dict[str, Tensor]] = {}
    for key, tensor in moments.items():
        name, _, moment = key.rpartition("|")
        state.setdefault(name, {})[moment] = tensor
    whole: dict[str, Any] = {"state": state, "param_groups": groups}
    options = StateDictOptions(full_state_dict=True)
    set_optimizer_state_dict(model, optimizer, whole, options=options)
