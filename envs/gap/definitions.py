"""What each figure means, in the words of the report."""

from __future__ import annotations

from typing import Final

from envs.gap.metrics import DIVERGENCE_M, MOVED_M
from envs.gap.pixels import PSNR_CEILING_DB

__all__ = ["DEFINITIONS"]

DEFINITIONS: Final[tuple[tuple[str, str], ...]] = (
    (
        "Steps",
        "A figure at horizon h is taken at step h exactly and averaged over episodes; step 0 is "
        "the last frame given to the model. Figures called a mean run over steps 1 to h.",
    ),
    (
        "PSNR and SSIM",
        f"Of whole frames. PSNR counts as {PSNR_CEILING_DB:g} dB at most, for equal frames have "
        "no finite one and a motionless frame would decide the mean of the frozen baseline.",
    ),
    (
        "Position error",
        "Distance in the plane between what the probe reads off the frame and MuJoCo's own state. "
        "All sources are read by the same probe, the twins too.",
    ),
    (
        "Moved objects",
        f"Objects that MuJoCo has more than {MOVED_M * 100:g} cm away from their place at step 0 "
        "at that step. An object that cannot be seen in the frame has no position: it counts in "
        "the permanence and in the share of missing moved objects. The strict error counts it as "
        "if it had been left where it was. The share of the frozen frame's error is the ratio of "
        "summed errors over the same objects.",
    ),
    (
        "Permanence",
        "Share of (frame, object) pairs over steps 1 to h in which an object of the right colour "
        "and shape is seen. Objects too many, of a colour that is not there or a second one of a "
        "colour, count as pairs that are wrong.",
    ),
    (
        "Controllability",
        "Delta-PSNR at step h is the PSNR under the true actions less the PSNR under uniformly "
        "random ones (Genie, Bruce et al. 2024).",
    ),
    (
        "Divergence",
        f"First step at which the pusher or any object is more than {DIVERGENCE_M * 100:g} cm "
        "off or gone, and stays so for three steps; the rollout's length if never.",
    ),
    (
        "Physics-IQ",
        "Mean of clip(IoU / twin's IoU) for spatial, spatiotemporal and weighted spatial overlap "
        "of what moved, and clip(twin's MSE / MSE), in percent (Motamed et al. 2025).",
    ),
    (
        "Baselines",
        "Frozen repeats step 0. Shuffled, random and no action are rollouts of the same model "
        "from the same frames under another episode's actions, uniform noise, and zero.",
    ),
)
