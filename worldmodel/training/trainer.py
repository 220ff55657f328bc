"""A Trainer of transformers for objectives, that waits for the GPU only to write a log line."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate
from transformers import PrinterCallback, TrainingArguments

from multimodal.errors import WorldModelError
from worldmodel.runs import RunDirectory
from worldmodel.training.cadence import Cadence
from worldmodel.training.history import write_curves
from worldmodel.training.interrupt import Interrupt, shield_worker
from worldmodel.training.metrics import MetricSums
from worldmodel.training.progress import TrainingProgress
from worldmodel.training.resume import ResumableTrainer
from worldmodel.training.sampling import StepBatches, validation_batches
from worldmodel.training.schedule import learning_rate_factor
from worldmodel.training.settings import TrainSettings
from worldmodel.training.state import Progress

__all__ = ["Collate", "ObjectiveTrainer", "TrainingDivergedError"]

Collate = Callable[[list[Any]], dict[str, Any]]
# A generator of its own keeps the loader from drawing on the objective's random numbers.
_LOADER_SEED = 0x10AD


class TrainingDivergedError(WorldModelError, ArithmeticError):
    """The loss or the gradient is not a finite number; no checkpoint of that state is written."""


class ObjectiveTrainer(ResumableTrainer):
    """Trains an objective under `TrainSettings`; made by `worldmodel.training.train_objective`.

    Args:
        objective: module whose forward(**batch) returns a dict with `loss` and scalar metrics.
        args: transformers' arguments; its own logging, evaluation and saving are to be off.
        settings: the run's settings.
        run: where history, curves and checkpoints go.
        train_dataset: map-style; item i is a function of i alone.
        validation_dataset: fixed set of samples, or None.
        collate: makes a batch of samples; torch's default otherwise.
        start: how far the run is already.
        interrupt: entered by the caller.
        progress: entered by the caller.
        wandb: an open wandb run, or None.
    """

    def __init__(
        self,
        objective: nn.Module,
        args: TrainingArguments,
        settings: TrainSettings,
        run: RunDirectory,
        train_dataset: Dataset[Any],
        validation_dataset: Dataset[Any] | None,
        collate: Collate | None,
        start: Progress,
        interrupt: Interrupt,
        progress: TrainingProgress,
        wandb: Any,
    ) -> None:
        super().__init__(
            model=objective,
            args=args,
            data_collator=collate or default_collate,
            train_dataset=train_dataset,
            eval_dataset=validation_dataset,
            callbacks=[Cadence(self)],
        )
        self.remove_callback(PrinterCallback)
        # forward(**batch) takes any name, which transformers reads as "scales its loss itself".
        self.model_accepts_loss_kwargs = False
        self.settings, self.run_directory, self.start = settings, run, start
        self.interrupt, self.progress, self.wandb = interrupt, progress, wandb
        self.checkpoints = run.checkpoints
        self.names = {}
        self.sums = MetricSums(args.device)
        self.last_row: dict[str, float] = {}
        self.open_clock()

    # Data

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The batches from the first step that is still to be done."""
        settings = self.settings
        batches = StepBatches(
            len(self.train_dataset),
            settings.batch_size,
            settings.seed,
            self.start.step,
            settings.steps,
            settings.accumulate,
            self.args.process_index,
            self.args.world_size,
        )
        return self._loader(self.train_dataset, batches, settings.workers)

    def _loader(self, dataset: Any, batches: Any, workers: int) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=self.data_collator,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            pin_memory=self.args.device.type == "cuda",
            worker_init_fn=shield_worker,
            generator=torch.Generator().manual_seed(_LOADER_SEED),
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], None]:
        """Take the micro-batches of a step, timing how long they are waited for."""
        asked_s = time.perf_counter()
        samples = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        self._waited_s += time.perf_counter() - asked_s
        return samples, None

    def _prepare_input(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            return {name: self._prepare_input(value) for name, value in data.items()}
        return data.to(self.args.device, non_blocking=True) if torch.is_tensor(data) else data

    # Loss, optimizer and schedule

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Run the objective and add its metrics up on the device."""
        outputs = model(**inputs)
        self.sums.add(outputs)
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def create_optimizer(self, model: nn.Module | None = None) -> Any:
        """AdamW with decoupled weight decay on tensors of two or more dimensions only."""
        if self.optimizer is None:
            module = self.model if model is None else model
            named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
            self.names = {id(p): name for name, p in named}
            settings = self.settings
            matrices = [p for _, p in named if p.ndim >= 2]
            vectors = [p for _, p in named if p.ndim < 2]
            groups = [
                {"params": matrices, "weight_decay": settings.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ]
            self.optimizer = torch.optim.AdamW(
                [group for group in groups if group["params"]],
                lr=settings.learning_rate,
                betas=settings.betas,
                fused=True,
            )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedule of `learning_rate_factor`."""
        if self.lr_scheduler is None:
            settings = self.settings
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                self.optimizer if optimizer is None else optimizer,
                lambda step: learning_rate_factor(step, settings),
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    # Clock

    def open_clock(self) -> None:
        """Start to count the time spent training."""
        self._started_s = time.perf_counter()
        self._open_window()

    def count_step(self) -> None:
        """Note that a step is done."""
        self._steps_in_window += 1
        self.progress.advance(self.state.global_step)

    @property
    def seconds(self) -> float:  # type: ignore[override]
        """Time spent training so far, over all resumes."""
        return self.start.seconds + time.perf_counter() - self._started_s

    def _open_window(self) -> None:
        self._window_s, self._waited_s, self._steps_in_window = time.perf_counter(), 0.0, 0

    def _timing(self) -> dict[str, float]:
        window_s = max(time.perf_counter() - self._window_s, 1e-9)
        return {
            "time_s": self.seconds,
            "samples_per_s": self._steps_in_window * self.settings.batch_size / window_s,
            "data_wait_share": self._waited_s / window_s,
        }

    # History and validation

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Leave transformers' own summary out: the history is written by `_write_row`."""

    def _maybe_log_save_evaluate(
        self,
        tr_loss: Tensor,
        grad_norm: Any,
        model: nn.Module,
        trial: Any,
        epoch: float,
        ignore_keys_for_eval: list[str] | None,
        start_time: float,
        learning_rate: float | None = None,
    ) -> None:
        control = self.control
        row: dict[str, float] = {}
        if control.should_log:
            means = self.sums.read(self.args.world_size)
            self._refuse_divergence("loss", means["loss"])
            rates = {"learning_rate": learning_rate or 0.0, "grad_norm": _number(grad_norm)}
            row = {"step": self.state.global_step, **means, **rates, **self._timing()}
            self._open_window()
        if control.should_evaluate:
            row |= self.evaluate()
        if row:
            last = self.state.global_step >= self.settings.steps
            self._write_row(row, curves=control.should_evaluate or last)
        if control.should_save:
            self._refuse_divergence("norm of the gradient", _number(grad_norm))
            self._refuse_divergence("loss", 0.0 if self.sums.finite("loss") else math.nan)
            self._save_checkpoint(model, trial)
        if control.should_evaluate or control.should_save:
            # Time spent validating and saving is not the speed of training.
            self._open_window()
        control.should_log = control.should_evaluate = control.should_save = False

    def _write_row(self, row: dict[str, float], curves: bool) -> None:
        self.last_row |= row
        if self.args.process_index:
            return
        self.run_directory.log(row)
        self.progress.show(row)
        if self.wandb is not None:
            self.wandb.log({k: v for k, v in row.items() if k != "step"}, step=int(row["step"]))
        if curves:
            write_curves(self.run_directory)

    @torch.no_grad()
    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Mean metrics over the fixed validation set, with the same noise at every validation."""
        rank, processes = self.args.process_index, self.args.world_size
        batches = validation_batches(
            len(self.eval_dataset), self.settings.batch_size, rank, processes
        )
        device, sums = self.args.device, MetricSums(self.args.device)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.settings.seed + rank)
            self.model.eval()
            loader = self._loader(self.eval_dataset, batches, 0)
            for batch, indices in zip(loader, batches, strict=True):
                sums.add(self.model(**self._prepare_input(batch)), weight=len(indices))
        self.model.train()
        return {f"validation_{name}": mean for name, mean in sums.read(processes).items()}

    def _refuse_divergence(self, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        raise TrainingDivergedError(
            f"at step {self.state.global_step} the {what} is {value}, a finite number was "
            f"expected. The checkpoints in {self.checkpoints} are from before. "
            f"Lower learning_rate={self.settings.learning_rate} or clip={self.settings.clip}"
        )


def _number(value: Any) -> float:
    if value is None:
        return 0.0
    return float(value.full_tensor() if hasattr(value, "full_tensor") else value)
