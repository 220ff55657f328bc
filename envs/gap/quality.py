"""How good the ruler is: the state probe against MuJoCo's state, on held-out MuJoCo frames."""

from __future__ import annotations

import numpy as np

from envs.gap.metrics import object_errors_m, permanence_counts, pusher_errors_m
from envs.gap.readings import Readings
from envs.gap.schema import ProbeQuality

__all__ = ["probe_quality"]


def probe_quality(seen: Readings, truth: Readings) -> ProbeQuality:
    """Judge what a probe saw on real frames.

    Args:
        seen: the probe's readings (E, T).
        truth: MuJoCo's (E, T).
    """
    errors = object_errors_m(seen, truth)
    errors = errors[~np.isnan(errors)]
    pusher = pusher_errors_m(seen, truth)
    right, due = permanence_counts(seen, truth)
    named = (seen.shape == truth.shape)[truth.present & seen.present]
    return ProbeQuality(
        object_error_m=float(errors.mean()) if errors.size else 0.0,
        object_error_p95_m=float(np.quantile(errors, 0.95)) if errors.size else 0.0,
        pusher_error_m=float(pusher.mean()),
        pusher_error_p95_m=float(np.quantile(pusher, 0.95)),
        presence_accuracy=float((seen.present == truth.present).mean()),
        shape_accuracy=float(named.mean()) if named.size else 0.0,
        permanence=float(right.sum() / max(due.sum(), 1.0)),
        frames=int(pusher.size),
    )
