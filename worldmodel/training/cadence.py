"""What is due after each step: averaged weights, a log line, a validation, a checkpoint, a stop."""

from typing import TYPE_CHECKING, Any

import torch
from torch.distributed import all_reduce
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_callback import TrainerControl, TrainerState

from worldmodel.training.history import set_aside_later

if TYPE_CHECKING:
    from worldmodel.training.trainer import ObjectiveTrainer

__all__ = ["Cadence"]

# On a GPU processes agree on an interrupt every so many steps: agreeing waits for the device.
_AGREE_EVERY = 10


class Cadence(TrainerCallback):
    """Sets transformers' control flags from `TrainSettings`.

    Args:
        trainer: the trainer whose steps it follows.
    """

    def __init__(self, trainer: "ObjectiveTrainer") -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Give each process noise of its own; a resumed run gets its generators back instead."""
        trainer = self._trainer
        trainer.open_clock()
        if args.process_index == 0:
            # Not before: the other processes may still have been looking for the newest one.
            set_aside_later(trainer.run_directory, trainer.start.step)
        if trainer.start.step == 0:
            torch.manual_seed(self._trainer.settings.seed + args.process_index)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Set what is due after this step."""
        trainer, settings, step = self._trainer, self._trainer.settings, state.global_step
        objective = trainer.accelerator.unwrap_model(trainer.model)
        if hasattr(objective, "after_step"):
            objective.after_step(step)
        last = step >= settings.steps
        stop = _agreed(trainer.interrupt.requested, step, args)
        validation_due = last or step % settings.validate_every == 0
        control.should_evaluate = validation_due and trainer.eval_dataset is not None
        control.should_log = validation_due or step % settings.log_every == 0
        control.should_save = last or stop or step % settings.save_every == 0
        control.should_training_stop = last or stop
        trainer.count_step()


def _agreed(requested: bool, step: int, args: TrainingArguments) -> bool:
    """Whether any process was interrupted; all processes have to stop after the same step."""
    if args.world_size == 1:
        return requested
    if args.device.type != "cpu" and step % _AGREE_EVERY:
        return False
    flag = torch.tensor(float(requested), device=args.device)
    all_reduce(flag)
    return bool(flag.item() > 0)
