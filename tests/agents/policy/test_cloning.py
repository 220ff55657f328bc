"""Hindsight, eyes and cloning on a real recording."""

import numpy as np
import torch

from agents.policy.cloning import CloningObjective, CloningSamples
from agents.policy.eyes import PushEyes
from agents.policy.hindsight import find_pushes, pushed_returns
from agents.policy.policy import Policy
from agents.policy.sight_objective import SightFrames, SightObjective, true_sight
from multimodal.flat import FlatEpisodes
from worldmodel.pipeline import WorldModelPipeline


def seen_of(flat: FlatEpisodes) -> torch.Tensor:
    return true_sight(flat.state).vector()


def test_pushes_are_frames_before_an_object_came_to_their_aim(flat: FlatEpisodes) -> None:
    pushes = find_pushes(flat, "train")
    assert len(pushes) > 50
    for number in range(0, len(pushes), 37):
        row, later = pushes.rows[number], pushes.rows[number] + int(pushes.horizons[number])
        colour = int(pushes.aims[number, :6].argmax())
        slot = int(np.flatnonzero(flat.state["object_colour"][row] == colour)[0])
        then = flat.state["object_position_m"][later, slot]
        assert np.allclose(then, pushes.aims[number, -2:], atol=1e-6)
        now = flat.state["object_position_m"][row, slot]
        assert np.linalg.norm(then - now) > 0.03


def test_the_return_of_a_push_ends_with_its_success(flat: FlatEpisodes) -> None:
    pushes = find_pushes(flat, "train")
    picks = torch.arange(0, len(pushes), 11)
    rows = torch.from_numpy(pushes.rows)[picks]
    aims, horizons = pushes.aims[picks], pushes.horizons[picks]
    returns = pushed_returns(seen_of(flat), rows, aims, horizons, 1.0)
    # A step costs at most the table's diagonals, and the last one earns 1.
    assert bool((returns <= 1).all())
    assert bool((returns > -4.0 * horizons).all())


def test_eyes_learn_where_things_are(flat: FlatEpisodes, tiny_pipeline: WorldModelPipeline) -> None:
    torch.manual_seed(0)
    latents = np.concatenate(
        [
            tiny_pipeline.tokenizer.encode(np.array(flat.frames[i : i + 64])[:, None])[:, 0].numpy()
            for i in range(0, len(flat.frames), 64)
        ]
    ).astype(np.float16)
    frames = SightFrames(flat, latents, "train", 0, 10_000)
    assert torch.equal(frames[3]["sight"], frames.__getitems__([3, 4])[0]["sight"])
    objective = SightObjective(PushEyes(8, 8, 8, 24)).train()
    optimizer = torch.optim.AdamW(objective.parameters(), 4e-3)
    errors = []
    for step in range(60):
        items = frames.__getitems__(list(range(64 * step, 64 * step + 64)))
        figures = objective(**{k: torch.stack([item[k] for item in items]) for k in items[0]})
        optimizer.zero_grad()
        figures["loss"].backward()
        optimizer.step()
        errors.append(figures["loss"].item())
    assert np.mean(errors[-5:]) < 0.6 * np.mean(errors[:5])


def test_cloning_learns_what_was_done(flat: FlatEpisodes, policy: Policy) -> None:
    torch.manual_seed(0)
    samples = CloningSamples(seen_of(flat), find_pushes(flat, "train"), 0, 100_000, 0.97)
    objective = CloningObjective(policy.requires_grad_(True)).train()
    optimizer = torch.optim.AdamW(objective.parameters(), 3e-3)
    errors = []
    for step in range(60):
        items = samples.__getitems__(list(range(128 * step, 128 * step + 128)))
        figures = objective(**{k: torch.stack([item[k] for item in items]) for k in items[0]})
        optimizer.zero_grad()
        figures["loss"].backward()
        optimizer.step()
        errors.append(figures["action_error"].item())
    assert np.mean(errors[-5:]) < 0.8 * np.mean(errors[:3])
