"""How models are trained: settings, exact resume, history, and the stages of `worldmodel train`.

`train_objective` trains any objective (a module whose forward(**batch) returns a dict with `loss`)
on `transformers.Trainer`; `run` is the verb.
"""

from worldmodel.training.settings import TrainResult, TrainSettings
from worldmodel.training.train import train_objective
from worldmodel.training.trainer import TrainingDivergedError

__all__ = ["TrainResult", "TrainSettings", "TrainingDivergedError", "train_objective"]
