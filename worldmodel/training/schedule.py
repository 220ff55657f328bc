"""The learning rate as a function of the step alone: a resumed run follows the same curve."""

import math

from worldmodel.training.settings import TrainSettings

__all__ = ["learning_rate_factor"]


def learning_rate_factor(step: int, settings: TrainSettings) -> float:
    """The share of the highest learning rate used at a step.

    Linear warm-up, then by `settings.schedule`: `cosine` (half a cosine to the end), `wsd` (stable,
    then a linear decay over the last `decay_fraction` of all steps; Hu et al. 2024, MiniCPM) or
    `constant`.

    Args:
        step: optimizer steps done so far, from 0.
        settings: the run's settings.

    Returns:
        A factor in (0, 1].
    """
    warmup = min(settings.warmup_steps, settings.steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "cosine":
        progress = (step - warmup) / max(1, settings.steps - warmup)
        share = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    else:
        decay_steps = max(1, round(settings.decay_fraction * settings.steps))
        share = min(1.0, max(0.0, (settings.steps - step) / decay_steps))
    return settings.final_fraction + (1 - settings.final_fraction) * share
