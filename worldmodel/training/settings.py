"""What a training run can be told, checked once at the boundary, and what it gives back."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["TrainResult", "TrainSettings"]


class TrainSettings(BaseModel):
    """Settings of one training run; unknown names and impossible values are refused.

    A resumed run may change any of them. The learning rate follows the new settings at once; a new
    seed or batch size gives another order of data from the resumed step on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(gt=0)
    """Optimizer steps in all, those before a resume included."""
    batch_size: int = Field(gt=0)
    """Samples per optimizer step, over all processes and accumulated micro-batches together."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """The highest learning rate, reached after the warm-up."""
    warmup_steps: int = Field(default=100, ge=0)
    """Steps of linear warm-up."""
    schedule: Literal["cosine", "wsd", "constant"] = "cosine"
    """After the warm-up: half a cosine, or warm-up-stable-decay, or constant."""
    decay_fraction: float = Field(default=0.2, gt=0, le=1)
    """The share of all steps over which `wsd` decays at the end."""
    final_fraction: float = Field(default=0.05, ge=0, le=1)
    """The learning rate at the last step, as a share of the highest."""
    betas: tuple[float, float] = (0.9, 0.99)
    """AdamW's moment decays."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay, on tensors of two or more dimensions only."""
    clip: float = Field(default=1.0, ge=0)
    """Largest norm of the gradient; 0 turns clipping off."""
    accumulate: int = Field(default=1, gt=0)
    """Micro-batches per optimizer step."""
    log_every: int = Field(default=20, gt=0)
    """Steps between two lines of the history."""
    validate_every: int = Field(default=500, gt=0)
    """Steps between two validations; the last step always validates."""
    save_every: int = Field(default=500, gt=0)
    """Steps between two checkpoints; the last step always saves."""
    keep: int = Field(default=2, gt=0)
    """Checkpoints to keep; an old one goes only after the new one is complete."""
    seed: int = Field(default=0, ge=0)
    """Seeds the order of the data, the noise of the objective and the validation's noise."""
    workers: int = Field(default=0, ge=0)
    """Processes that load data; 0 loads in the training process."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Format of the matrix products; `auto` leaves it to `compute`."""
    compute: str | None = None
    """Device and format as `worldmodel.device.choose_compute` takes them; None lets it choose."""
    compile: bool = False
    """Compile the objective with torch.compile: slower to start, faster per step on a GPU."""

    @model_validator(mode="after")
    def _micro_batches_are_whole(self) -> "TrainSettings":
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size={self.batch_size} is not a multiple of accumulate={self.accumulate}"
            )
        return self


@dataclass(frozen=True)
class TrainResult:
    """What a finished run gives back.

    Attributes:
        steps: optimizer steps in all.
        seconds: time spent training, over all resumes.
        losses: the last logged metrics by name; validation's carry the prefix `validation_`.
        checkpoint: the folder of the last checkpoint.
        history: the file of JSON lines.
        device: where it ran.
        precision: format of the matrix products.
        processes: how many processes trained together.
    """

    steps: int
    seconds: float
    checkpoint: Path
    history: Path
    device: str
    precision: str
    processes: int
    losses: dict[str, float] = field(default_factory=dict)
