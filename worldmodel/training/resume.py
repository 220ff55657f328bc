"""A Trainer whose state goes to disk without pickles and comes back to the last bit."""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed import all_gather_object, barrier
from transformers import Trainer

from worldmodel.durable import remove_directory
from worldmodel.training.metrics import MetricSums
from worldmodel.training.settings import TrainSettings
from worldmodel.training.sharding import (
    gather_moments,
    gather_parameters,
    load_moments,
    load_parameters,
)
from worldmodel.training.state import (
    ProcessState,
    Progress,
    TrainingState,
    load_model,
    load_optimizer_state,
    named_optimizer_state,
    read_state,
    write_state,
)
from worldmodel.training.tensors import capture_rng, restore_rng

__all__ = ["ResumableTrainer"]

_log = logging.getLogger(__name__)


class ResumableTrainer(Trainer):
    """Replaces what transformers saves and loads by `worldmodel.training.state`.

    Subclasses keep `settings`, `checkpoints`, `sums`, `names` and `seconds`.
    """

    settings: TrainSettings
    checkpoints: Path
    sums: MetricSums
    names: dict[int, str]
    seconds: float
    checkpoint: Path | None = None
    _resumed: TrainingState | None = None
    # Made by transformers; the optimizer is wrapped by accelerate.
    optimizer: Any
    lr_scheduler: Any

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write `checkpoints/step-N` as a whole, then remove what is older than `keep` allows."""
        state = self._capture()
        self.checkpoint = self.checkpoints / f"step-{state.progress.step:08d}"
        if self.args.process_index == 0:
            write_state(self.checkpoint, state, json.dumps(asdict(self.state)))
            for old in sorted(self.checkpoints.glob("step-*"))[: -self.settings.keep]:
                remove_directory(old)
        if self.args.world_size > 1:
            barrier()

    def _capture(self) -> TrainingState:
        """Gather the state of all processes; the first one gets it whole."""
        if self.is_fsdp_enabled:
            parameters = gather_parameters(self.model)
            moments, groups = gather_moments(self.model, self.optimizer.optimizer)
        else:
            parameters = dict(self.model.state_dict())
            moments, groups = named_optimizer_state(self.optimizer.optimizer, self.names)
        precision = "bfloat16" if self.args.bf16 else "float32"
        return TrainingState(
            progress=Progress(self.state.global_step, self.seconds, precision),
            model=parameters,
            moments=moments,
            groups=groups,
            scheduler=_scheduler_values(self.lr_scheduler),
            processes=self._capture_processes(),
            settings=self.settings.model_dump(),
        )

    def _capture_processes(self) -> list[ProcessState]:
        values, tensors = capture_rng(self.args.device)
        values["weights"], sums = self.sums.capture()
        tensors |= {f"sum/{name}": value for name, value in sums.items()}
        mine = ProcessState(values, tensors)
        if self.args.world_size == 1:
            return [mine]
        states: list[Any] = [None] * self.args.world_size
        all_gather_object(states, mine)
        return states

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        checkpoint = Path(resume_from_checkpoint)
        self._resumed = read_state(checkpoint)
        if self.is_fsdp_enabled:
            load_parameters(self.model, self._resumed.model)
        else:
            load_model(self.model, self._resumed.model, checkpoint)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        state = self._resumed
        if state is None:
            return
        optimizer = self.optimizer.optimizer
        settings = self.settings
        decays = [group["weight_decay"] for group in optimizer.param_groups]
        if self.is_fsdp_enabled:
            load_moments(self.model, optimizer, state.moments, state.groups)
        else:
            load_optimizer_state(optimizer, self.names, state.moments, state.groups)
        self.lr_scheduler.load_state_dict(state.scheduler)
        # The settings of this start hold, not those of the start that wrote the checkpoint.
        self.lr_scheduler.base_lrs = [settings.learning_rate] * len(decays)
        factor = self.lr_scheduler.lr_lambdas[0](state.progress.step)
        for group, decay in zip(optimizer.param_groups, decays, strict=True):
            group.update(
                lr=settings.learning_rate * factor,
                initial_lr=settings.learning_rate,
                betas=settings.betas,
                weight_decay=decay,
            )

    def _load_rng_state(self, checkpoint: str | None) -> None:
        state, rank = self._resumed, self.args.process_index
        if state is None:
            return
        self._resumed = None
        if len(state.processes) != self.args.world_size:
            _log.warning(
                "resuming on %d processes a run of %d: random numbers start anew",
                self.args.world_size,
                len(state.processes),
            )
            torch.manual_seed(self.settings.seed + rank + state.progress.step)
            return
        mine = state.processes[rank]
        restore_rng(mine.values, mine.tensors, self.args.device)
        weights = mine.values["weights"]
        self.sums.restore(weights, {name: mine.tensors[f"sum/{name}"] for name in weights})


def _scheduler_values(scheduler: Any) -> dict[str, Any]:
    """The schedule's state without its functions, which follow from the settings."""
    state = scheduler.state_dict()
    return {**state, "lr_lambdas": [None] * len(state["base_lrs"])}
