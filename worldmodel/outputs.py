"""What stepping and rolling out give back."""

from dataclasses import dataclass

from diffusers.utils import BaseOutput
from torch import Tensor

from worldmodel.rollout_state import RolloutState

__all__ = ["RolloutOutput", "StepOutput"]


@dataclass
class StepOutput(BaseOutput):
    """One step of B rollouts.

    Attributes:
        frame: uint8 (B, H, W, 3).
        reward: float (B,).
        termination: probability that the episode ends here, float (B,).
        state: the rollouts after the step.
    """

    frame: Tensor
    reward: Tensor
    termination: Tensor
    state: RolloutState


@dataclass
class RolloutOutput(BaseOutput):
    """T steps of B rollouts.

    Attributes:
        frames: uint8 (B, T, H, W, 3).
        rewards: float (B, T).
        terminations: float (B, T).
        state: the rollouts after the last step.
    """

    frames: Tensor
    rewards: Tensor
    terminations: Tensor
    state: RolloutState
