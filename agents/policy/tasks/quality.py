"""How far a compact world can be believed: state, reward and picture, against what was held out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from agents.policy.tasks.world import Learned
from multimodal.flat import FlatEpisodes
from worldmodel.compact_clips import STATE
from worldmodel.dynamics import Memory
from worldmodel.rollout_state import RolloutState

__all__ = ["blind_rollouts", "world_figures"]

_WATCHED = 4


def explained(told: NDArray[np.float64], true: NDArray[np.float64]) -> float | None:
    """R² over all entries; None where nothing varies."""
    spread = ((true - true.mean(0)) ** 2).sum()
    return None if spread == 0 else float(1 - ((told - true) ** 2).sum() / spread)


@torch.no_grad()
def world_figures(learned: Learned, horizon: int = 16) -> dict[str, float]:
    """Figures on held-out episodes, where frames are watched and where the world goes on blindly.

    Args:
        learned: the world and its recordings.
        horizon: steps that it goes on without a frame.

    Returns:
        `reward_r2` and `state_r2` while watching, the same and `psnr` after `horizon` blind steps;
        what cannot be told is left out.
    """
    flat, pipeline = learned.flat, learned.pipeline
    held = [*flat.episodes("validation"), *flat.episodes("test")]
    rows = [np.arange(flat.starts[e] + 1, flat.starts[e + 1]) for e in held]
    figures: dict[str, float | None] = {}
    if not rows:
        return {}
    watched = np.concatenate(rows)
    told = _rewards(learned, learned.tokens[torch.from_numpy(watched)])
    figures["reward_r2"] = explained(told, np.asarray(flat.rewards[watched - 1], np.float64))
    # A rollout ends in the episode that it begins in; short ones have no room for any.
    begun = np.concatenate([r[_WATCHED : max(0, len(r) - horizon) : 4] for r in rows])
    if STATE in flat.state:
        figures["state_r2"] = _state_r2(learned, learned.tokens[torch.from_numpy(watched)], watched)
    if len(begun):
        tokens, rewards = blind_rollouts(learned, begun, horizon)
        true = np.stack([flat.rewards[begun + k] for k in range(horizon)], 1)
        figures[f"reward_r2_blind_{horizon}"] = explained(rewards, true.astype(np.float64))
        if STATE in flat.state:
            figures[f"state_r2_blind_{horizon}"] = _state_r2(learned, tokens, begun + horizon)
        pick = begun[:64]
        shown = pipeline.tokenizer.decode(tokens[:64, None])[:, 0].numpy()
        error = (shown - flat.frames[pick + horizon].astype(np.float32) / 255) ** 2
        figures[f"psnr_{horizon}"] = float(-10 * np.log10(error.mean()))
        frozen = (flat.frames[pick].astype(np.float32) - flat.frames[pick + horizon]) / 255
        figures[f"psnr_frozen_{horizon}"] = float(-10 * np.log10((frozen**2).mean()))
    return {name: value for name, value in figures.items() if value is not None}


@torch.no_grad()
def blind_rollouts(
    learned: Learned, begun: NDArray[np.int64], horizon: int
) -> tuple[torch.Tensor, NDArray[np.float64]]:
    """Rollouts from watched frames `begun` (B,), under the recorded actions.

    Returns:
        tokens (B, 3, E) after the last step, and rewards (B, horizon).
    """
    pipeline, flat = learned.pipeline, learned.flat
    memory = Memory.bare(learned.tokens[torch.from_numpy(begun)])
    memory = memory._replace(filled=torch.full_like(memory.filled, pipeline.context))
    zeros = torch.zeros(len(begun), dtype=torch.long)
    state = RolloutState(memory, torch.zeros(len(begun), 0), zeros, zeros)
    rewards = []
    for step in range(horizon):
        state = pipeline.advance(state, _actions(flat, begun + step))
        rewards.append(pipeline.outcome(state)[0].numpy())
    return state.memory.latents, np.stack(rewards, 1).astype(np.float64)


def _actions(flat: FlatEpisodes, rows: NDArray[np.int64]) -> torch.Tensor:
    return torch.from_numpy(np.asarray(flat.actions[rows]))


def _rewards(learned: Learned, tokens: torch.Tensor) -> NDArray[np.float64]:
    head = learned.pipeline.dynamics.outcome
    return head.expect(head(tokens, tokens)[0]).numpy().astype(np.float64)


def _state_r2(learned: Learned, tokens: torch.Tensor, rows: NDArray[np.int64]) -> float | None:
    """Mean R² over the state's numbers, those left out that do not vary."""
    told = learned.pipeline.dynamics.state(tokens).numpy().astype(np.float64)
    true = np.asarray(learned.flat.state[STATE][rows], np.float64)
    each = [
        explained(told[:, i], true[:, i]) for i in range(true.shape[1]) if true[:, i].std() > 1e-3
    ]
    found = [value for value in each if value is not None]
    return float(np.mean(found)) if found else None
