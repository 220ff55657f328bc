"""How far the learned world parts from MuJoCo: same state, same actions, both measured.

Truth and perturbed twins come from MuJoCo (`truth`), learned rollouts and baselines from the
pipeline (`rollouts`), positions from a probe trained on real frames (`probe`), figures with
intervals from `metrics`; `report` turns them into JSON, a page and videos.
"""

from envs.gap.readings import Readings, truth_readings
from envs.gap.schema import Figure, GapReport

__all__ = ["Figure", "GapReport", "Readings", "truth_readings"]
