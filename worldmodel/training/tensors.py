"""Tensors and random-generator states as safetensors and JSON values, exact to the last bit."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

__all__ = ["capture_rng", "read_tensors", "restore_rng", "write_tensors"]


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as safetensors; tensors that share memory are written once each.

    Args:
        path: the file.
        tensors: of any device and layout.
    """
    seen: set[int] = set()
    unshared: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().to("cpu").contiguous()
        storage = plain.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != plain.nbytes:
            plain = plain.clone(memory_format=torch.contiguous_format)
        seen.add(plain.untyped_storage().data_ptr())
        unshared[name] = plain
    save_file(unshared, path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors to the CPU."""
    return load_file(path)


def capture_rng(device: torch.device) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The state of every random generator of this process.

    Args:
        device: the device that trains; its generator is included where it has its own.

    Returns:
        JSON values (Python's and NumPy's generators) and tensors (torch's).
    """
    version, words, gauss = random.getstate()
    legacy = np.random.get_state(legacy=False)
    assert isinstance(legacy, dict)
    values = {
        "python": {"version": version, "words": list(words), "gauss": gauss},
        "numpy": {
            "bit_generator": legacy["bit_generator"],
            "key": legacy["state"]["key"].tolist(),
            "pos": legacy["state"]["pos"],
            "has_gauss": legacy["has_gauss"],
            "gauss": legacy["gauss"],
        },
    }
    tensors = {"rng/cpu": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["rng/cuda"] = torch.cuda.get_rng_state(device)
    return values, tensors


def restore_rng(
    values: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device
) -> None:
    """Put back what `capture_rng` took; a state for a device that is not there is left aside."""
    python = values["python"]
    random.setstate((python["version"], tuple(python["words"]), python["gauss"]))
    legacy = values["numpy"]
    np.random.set_state(
        {
            "bit_generator": legacy["bit_generator"],
            "state": {"key": np.array(legacy["key"], np.uint32), "pos": legacy["pos"]},
            "has_gauss": legacy["has_gauss"],
            "gauss": legacy["gauss"],
        }
    )
    torch.set_rng_state(tensors["rng/cpu"])
    if device.type == "cuda" and "rng/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng/cuda"], device)
