"""Policies trained inside the world model, and how far to believe them."""

from agents.policy.policy import Policy
from agents.policy.stable_baselines import learned_vec_env

__all__ = ["Policy", "learned_vec_env"]
