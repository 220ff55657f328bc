"""Train one objective in one folder: the entry point to everything in `worldmodel.training`."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import TrainingArguments

from multimodal.errors import CheckpointError, ConfigError
from worldmodel.checkpoint import newest_complete
from worldmodel.device import DTYPES, ENVIRONMENT_VARIABLE, Compute, choose_compute
from worldmodel.durable import remove_leftovers
from worldmodel.runs import RunDirectory
from worldmodel.training.history import WandbMode, open_wandb, set_aside, truncate_history
from worldmodel.training.interrupt import Interrupt
from worldmodel.training.processes import is_first, process_count
from worldmodel.training.progress import TrainingProgress
from worldmodel.training.settings import TrainResult, TrainSettings
from worldmodel.training.state import Progress, load_model, read_progress, read_state
from worldmodel.training.trainer import Collate, ObjectiveTrainer

__all__ = ["train_objective"]

_log = logging.getLogger(__name__)


def train_objective(
    objective: nn.Module,
    train_dataset: Dataset[Any],
    validation_dataset: Dataset[Any] | None,
    settings: TrainSettings,
    run: RunDirectory | Path | str,
    resume: str = "auto",
    wandb_mode: WandbMode = "offline",
    collate: Collate | None = None,
    wandb_project: str = "worldmodel",
) -> TrainResult:
    """Train an objective to `settings.steps`, going on from a checkpoint where there is one.

    Killed at any moment, a run on a CPU that is started again ends with the same parameters and
    losses, bit for bit, as one that was never stopped, provided that the objective is built the
    same way, the dataset's item i depends on i alone and the number of threads is the same. Under
    `torchrun` or `accelerate launch` every process calls this function.

    Args:
        objective: module whose forward(**batch) returns a dict with the scalar `loss` to minimise
            and further scalar metrics. Its optional `after_step(step)` runs after each optimizer
            step. What it has to keep (averaged weights, counters) lives in parameters and buffers.
        train_dataset: map-style; `__getitems__` is used where there is one.
        validation_dataset: a fixed set of samples, or None for no validation.
        settings: steps, batch size, learning rate and so on.
        run: folder for `history.jsonl`, `curves.png` and `checkpoints/`.
        resume: `auto` goes on from the newest whole checkpoint, `never` starts from nothing and
            moves an earlier run aside, a path goes on from that checkpoint.
        wandb_mode: `disabled`, `offline` or `online`.
        collate: makes a batch of a list of samples; torch's default otherwise.
        wandb_project: name of the project in wandb.

    Returns:
        Steps, seconds, last losses and the last checkpoint. The objective holds the final weights.

    Raises:
        CheckpointError: the named checkpoint is torn, altered, or of another architecture.
        ConfigError: the settings do not fit the number of processes or the device.
        DiskFullError: a checkpoint or the history could not be written; older ones are intact.
        KeyboardInterrupt: SIGINT or SIGTERM came; the step was finished and a checkpoint saved.
        TrainingDivergedError: the loss is not finite.
    """
    run = run if isinstance(run, RunDirectory) else RunDirectory(run)
    first = is_first()
    checkpoint = _checkpoint_to_resume(run, resume, first)
    start = Progress(0, 0.0, "") if checkpoint is None else read_progress(checkpoint)
    if checkpoint is not None and start.step >= settings.steps:
        load_model(objective, read_state(checkpoint).model, checkpoint)
        return _finished(run, checkpoint, start)
    compute = _choose(settings, start)
    if first:
        truncate_history(run, start.step)
        _log.info("training on %s", compute.reason)
    with (
        _followed(run, wandb_mode, settings, wandb_project, first) as wandb,
        Interrupt() as interrupt,
        TrainingProgress(run.path.name, settings.steps, start.step, first) as progress,
    ):
        trainer = ObjectiveTrainer(
            objective,
            _arguments(settings, compute, run),
            settings,
            run,
            train_dataset,
            validation_dataset,
            collate,
            start,
            interrupt,
            progress,
            wandb,
        )
        _refuse_fsdp1(trainer)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    if trainer.state.global_step < settings.steps:
        interrupt.raise_if_requested()
        # Another process was told to stop.
        raise KeyboardInterrupt
    return _result(trainer, objective)


@contextmanager
def _followed(
    run: RunDirectory, mode: WandbMode, settings: TrainSettings, project: str, first: bool
) -> Iterator[Any]:
    """The run in wandb, of the first process alone; it is finished whatever happens."""
    wandb = open_wandb(run, mode, settings.model_dump(), project) if first else None
    try:
        yield wandb
    finally:
        if wandb is not None:
            wandb.finish()


def _checkpoint_to_resume(run: RunDirectory, resume: str, first: bool) -> Path | None:
    """Find the checkpoint to go on from; only the first process changes the folder."""
    if first and run.checkpoints.is_dir():
        remove_leftovers(run.checkpoints)
    if resume == "never":
        if first:
            set_aside(run)
        return None
    if resume == "auto":
        return newest_complete(run.checkpoints)
    checkpoint = Path(resume).expanduser()
    if not checkpoint.is_dir():
        raise CheckpointError(
            f"resume={resume} is neither auto, never nor the folder of a checkpoint: "
            f"the checkpoints of this run are in {run.checkpoints}"
        )
    return checkpoint


def _choose(settings: TrainSettings, start: Progress) -> Compute:
    """Choose device and precision; a resumed run keeps its precision, whatever is measured now."""
    if torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    precision = settings.precision
    if precision == "auto" and start.precision:
        precision = "bfloat16" if start.precision == "bfloat16" else "float32"
    wanted = settings.compute or os.environ.get(ENVIRONMENT_VARIABLE) or "auto"
    if precision != "auto":
        device = wanted.split("/")[0]
        wanted = precision if device in ("auto", *DTYPES) else f"{device}/{precision}"
    compute = choose_compute(wanted)
    if compute.device.type == "cuda" and compute.device.index:
        raise ConfigError(
            f"compute={wanted} names one of several GPUs: choose it with "
            f"CUDA_VISIBLE_DEVICES={compute.device.index} and compute=cuda"
        )
    several = process_count() > 1
    if several and wanted in ("auto", "cpu") and compute.device.type == "cpu":
        # Each process measures for itself, and all have to use the same format.
        if is_first() and compute.dtype is not torch.float32:
            _log.warning(
                "several processes train in float32 unless all are told otherwise, as by "
                "compute=cpu/bfloat16"
            )
        return choose_compute("cpu/float32")
    return compute


def _arguments(settings: TrainSettings, compute: Compute, run: RunDirectory) -> TrainingArguments:
    """The arguments of transformers, with its own logging, evaluation and saving turned off."""
    cpu = compute.device.type == "cpu"
    processes = process_count()
    if not cpu:
        torch.set_float32_matmul_precision("high")
    arguments = TrainingArguments(
        output_dir=str(run.path),
        max_steps=settings.steps,
        per_device_train_batch_size=max(
            1, settings.batch_size // (settings.accumulate * processes)
        ),
        gradient_accumulation_steps=settings.accumulate,
        max_grad_norm=settings.clip,
        learning_rate=settings.learning_rate,
        bf16=compute.dtype is torch.bfloat16,
        use_cpu=cpu,
        ddp_backend="gloo" if cpu and processes > 1 else None,
        torch_compile=settings.compile,
        seed=settings.seed,
        logging_strategy="no",
        eval_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        # Both would wait for the device at every step.
        logging_nan_inf_filter=False,
        skip_memory_metrics=True,
        # The sampler starts at the right step by itself.
        ignore_data_skip=True,
    )
    # More than one visible GPU without torchrun would mean nn.DataParallel.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def _refuse_fsdp1(trainer: ObjectiveTrainer) -> None:
    """Checkpoints know whole parameters and FSDP2's shards, not the flat ones of FSDP1."""
    if trainer.is_fsdp_enabled and trainer.accelerator.state.fsdp_plugin.fsdp_version == 1:
        raise ConfigError("FSDP 1 is not supported: set fsdp_version to 2 in accelerate's config")


def _result(trainer: ObjectiveTrainer, objective: nn.Module) -> TrainResult:
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    assert trainer.checkpoint is not None
    return TrainResult(
        steps=trainer.state.global_step,
        seconds=trainer.seconds,
        losses={k: v for k, v in trainer.last_row.items() if k != "step"},
        checkpoint=trainer.checkpoint,
        history=trainer.run_directory.path / "history.jsonl",
        device=str(trainer.args.device),
        precision="bfloat16" if trainer.args.bf16 else "float32",
        processes=trainer.args.world_size,
    )


def _finished(run: RunDirectory, checkpoint: Path, start: Progress) -> TrainResult:
    """The result of a run that had already reached its last step."""
    losses: dict[str, float] = {}
    for row in run.history():
        losses.update({k: v for k, v in row.items() if k != "step" and v is not None})
    return TrainResult(
        steps=start.step,
        seconds=start.seconds,
        losses=losses,
        checkpoint=checkpoint,
        history=run.path / "history.jsonl",
        device="",
        precision=start.precision,
        processes=process_count(),
    )
