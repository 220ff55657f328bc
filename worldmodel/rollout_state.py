"""A rollout at one instant, as a value that can be forked, saved and restored exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from multimodal.errors import StateError
from worldmodel.attention import Anchor, FrameMemory
from worldmodel.dynamics import Memory
from worldmodel.layered import LayerState

__all__ = ["RolloutState", "source_noise"]

_LANES = ("goal", "seed", "step")
_MEMORY = ("latents", "change", "first", "places", "filled")
_LAYER = ("keys", "values", "anchor_keys", "anchor_values")


@dataclass(frozen=True)
class RolloutState:
    """Everything the next step of B rollouts depends on; its size does not grow.

    Nothing in it is ever written in place, so sharing it is safe and forking it is free.

    Attributes:
        memory: latents and remembered frames.
        goal: what the outcome head is told, float (B, G).
        seed: of each lane's noise, int64 (B,).
        step: frames made so far, int64 (B,).
        layered: what things look like and where they are; None where the model keeps no layers.
    """

    memory: Memory
    goal: Tensor
    seed: Tensor
    step: Tensor
    layered: LayerState | None = None

    @property
    def batch_size(self) -> int:
        """B, the number of lanes."""
        return len(self.seed)

    def arrays(self) -> dict[str, Tensor]:
        """The state as named tensors whose first axis is the lane."""
        named: dict[str, Tensor] = {name: getattr(self.memory, name) for name in _MEMORY}
        for index, layer in enumerate(self.memory.layers):
            named[f"keys_{index}"] = layer.keys
            named[f"values_{index}"] = layer.values
        for index, anchor in enumerate(self.memory.anchors):
            named[f"anchor_keys_{index}"] = anchor.keys
            named[f"anchor_values_{index}"] = anchor.values
        if self.layered is not None:
            named |= {f"layered_{name}": x for name, x in self.layered.arrays().items()}
        return named | {name: getattr(self, name) for name in _LANES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor]) -> RolloutState:
        """Undo `arrays`.

        Raises:
            StateError: a tensor is missing or the lanes differ in number.
        """
        layers = sum(name.startswith("keys_") for name in arrays)
        wanted = [*_MEMORY, *_LANES]
        wanted += [f"{kind}_{index}" for index in range(layers) for kind in _LAYER]
        prefix = "layered_"
        carried = {
            name.removeprefix(prefix): value
            for name, value in arrays.items()
            if name.startswith(prefix)
        }
        if carried:
            wanted += [prefix + name for name in LayerState.names()]
        missing = sorted(set(wanted) - set(arrays))
        if missing:
            raise StateError(f"The saved rollout lacks {', '.join(missing)}; save it again.")
        sizes = {len(arrays[name]) for name in wanted}
        if len(sizes) != 1:
            raise StateError(f"The saved tensors have {sorted(sizes)} lanes; expected one number.")
        kept = tuple(
            FrameMemory(arrays[f"keys_{index}"], arrays[f"values_{index}"])
            for index in range(layers)
        )
        anchors = tuple(
            Anchor(arrays[f"anchor_keys_{index}"], arrays[f"anchor_values_{index}"])
            for index in range(layers)
        )
        latents, change, first, places, filled = (arrays[name] for name in _MEMORY)
        memory = Memory(latents, change, first, places, filled, kept, anchors)
        layered = LayerState.from_arrays(carried) if carried else None
        goal, seed, step = (arrays[name] for name in _LANES)
        return cls(memory, goal, seed, step, layered)

    def fork(self) -> RolloutState:
        """An independent copy; constant time, since states are never written in place."""
        return RolloutState(self.memory, self.goal, self.seed, self.step, self.layered)

    def select(self, lanes: Sequence[int] | Tensor) -> RolloutState:
        """The state of some lanes, in the order given; a lane may be taken several times."""
        index = torch.as_tensor(lanes, dtype=torch.long, device=self.seed.device)
        return self.from_arrays({name: value[index] for name, value in self.arrays().items()})

    def where(self, mask: Tensor, other: RolloutState) -> RolloutState:
        """This state in the lanes where `mask` (B,) is true, `other` in the rest."""
        theirs = other.arrays()
        mixed = {}
        for name, mine in self.arrays().items():
            wide = mask.to(mine.device).view(-1, *(1,) * (mine.ndim - 1))
            mixed[name] = torch.where(wide, mine, theirs[name])
        return self.from_arrays(mixed)

    @classmethod
    def concatenate(cls, states: Sequence[RolloutState]) -> RolloutState:
        """The lanes of several states, one after the other."""
        parts = [state.arrays() for state in states]
        return cls.from_arrays({name: torch.cat([p[name] for p in parts]) for name in parts[0]})

    def to(self, device: torch.device | str) -> RolloutState:
        """The same state on a device."""
        return self.from_arrays({name: value.to(device) for name, value in self.arrays().items()})

    def save(self, path: Path | str) -> None:
        """Write the state as safetensors."""
        save_file({k: v.contiguous() for k, v in self.arrays().items()}, str(path))

    @classmethod
    def load(cls, path: Path | str) -> RolloutState:
        """Read what `save` wrote, bit for bit.

        Raises:
            StateError: the file is missing, damaged or of something else.
        """
        try:
            return cls.from_arrays(load_file(str(path)))
        except (OSError, SafetensorError) as error:
            raise StateError(f"{path} is not a saved rollout state: {error}.") from error


def source_noise(state: RolloutState) -> Tensor:
    """Where a flow from noise starts (B, N, C): a function of each lane's seed and step."""
    lanes = []
    for seed, step in zip(state.seed.tolist(), state.step.tolist(), strict=True):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        lanes.append(torch.randn(state.memory.latents.shape[1:], generator=generator))
    return torch.stack(lanes).to(state.memory.latents)
