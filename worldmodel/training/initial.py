"""Weights of an earlier model that a stage starts from: training on, or on one's own recordings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from multimodal.errors import CheckpointError, ConfigError
from worldmodel.checkpoint import resolve, verify
from worldmodel.pipeline import KIND
from worldmodel.readers import VLM_KINDS

__all__ = ["InitialWeights"]


@dataclass(frozen=True)
class InitialWeights:
    """One model of a pipeline, of ears, or one that answers.

    Attributes:
        path: its safetensors.
        sha256: of that file.
    """

    path: Path
    sha256: str

    @classmethod
    def of(cls, pipeline: str | Path, part: str) -> InitialWeights:
        """The weights of `part` ("tokenizer", "dynamics") of a pipeline.

        Args:
            pipeline: a shipped name or a folder.
            part: the model's folder in it.

        Raises:
            CheckpointError: it is missing, torn, altered or no pipeline.
        """
        folder = resolve(pipeline)
        verify(folder, KIND)
        path = folder / part / "diffusion_pytorch_model.safetensors"
        if not path.is_file():
            raise CheckpointError(
                f"{folder} has no {part}: name a pipeline that `worldmodel train` wrote, or leave "
                "initial=null to start afresh"
            )
        return cls._of(path)

    @classmethod
    def of_answers(cls, model: str | Path) -> InitialWeights:
        """The weights of a vision-language model.

        Args:
            model: a shipped name or a folder, of any stage that has a projector.

        Raises:
            CheckpointError: it is missing, torn, altered or no such model.
        """
        folder = resolve(model)
        if verify(folder)["kind"] not in VLM_KINDS:
            # Says what is there and what was expected.
            verify(folder, VLM_KINDS[0])
        path = folder / "model.safetensors"
        return cls._of(path)

    @classmethod
    def of_ears(cls, ears: str | Path, part: str) -> InitialWeights:
        """The weights of `part` ("recogniser", "spotter") of packed ears.

        Args:
            ears: a shipped name or a folder.
            part: the model's folder in them.

        Raises:
            CheckpointError: they are missing, torn, altered, no ears, or have no such part.
        """
        folder = resolve(ears)
        verify(folder, "ears")
        files = sorted((folder / part).glob("*.safetensors"))
        if not files:
            raise CheckpointError(f"{folder} has no {part} of its own: name ears that have one.")
        return cls._of(files[0])

    @classmethod
    def _of(cls, path: Path) -> InitialWeights:
        return cls(path, hashlib.sha256(path.read_bytes()).hexdigest())

    def load_into(self, model: nn.Module) -> None:
        """Overwrite a model's weights.

        Raises:
            ConfigError: the model has another architecture.
        """
        tensors = load_file(self.path)
        # A weight that two parts of a model share is stored once.
        state = model.state_dict()
        stored = {state[name].data_ptr() for name in tensors.keys() & state.keys()}
        mine = {
            name: tuple(value.shape)
            for name, value in state.items()
            if name in tensors or value.data_ptr() not in stored
        }
        theirs = {name: tuple(value.shape) for name, value in tensors.items()}
        names = mine.keys() | theirs.keys()
        different = sorted(name for name in names if mine.get(name) != theirs.get(name))
        if different:
            raise ConfigError(
                f"{self.path.parent} has another architecture than this run ({different[0]}: "
                f"{theirs.get(different[0])} against {mine.get(different[0])}, and "
                f"{len(different) - 1} more). Choose the size it was trained with: size=..."
            )
        whole = {name: tensor.float() for name, tensor in tensors.items()}
        model.load_state_dict(whole, strict=False)
