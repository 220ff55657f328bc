"""The policy itself: acting on frames and latents, saving, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch

from agents.policy import Policy
from envs.push import PushWorld
from multimodal.errors import ActionError, CheckpointError, FrameError, StateError
from multimodal.tokenizer import VideoTokenizer
from worldmodel.pipeline import WorldModelPipeline


def scene() -> tuple[np.ndarray, np.ndarray]:
    world = PushWorld()
    frame, info = world.reset(seed=5)
    world.close()
    return frame[None], info["goal"][None]


def test_frames_and_their_latents_give_the_same_action(
    policy: Policy, tiny_pipeline: WorldModelPipeline
) -> None:
    frames, goals = scene()
    latents = tiny_pipeline.tokenizer.encode(frames[None])[0]
    action = policy.act(frames, goals)
    assert torch.equal(action, policy.act(latents, goals))
    assert action.shape == (1, 2)
    assert bool((action.abs() <= 1).all())


def test_drawn_actions_follow_the_generator(policy: Policy) -> None:
    frames, goals = scene()
    drawn = [policy.act(frames, goals, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_saved_policy_acts_the_same(
    policy: Policy, tiny_pipeline: WorldModelPipeline, tmp_path: Path
) -> None:
    policy.save_pretrained(tmp_path / "policy")
    loaded = Policy.from_pretrained(tmp_path / "policy", tiny_pipeline.tokenizer)
    frames, goals = scene()
    assert torch.equal(policy.act(frames, goals), loaded.act(frames, goals))


def test_what_does_not_fit_is_refused_with_what_to_do(policy: Policy, tmp_path: Path) -> None:
    frames, goals = scene()
    with pytest.raises(FrameError, match=r"frames\[None\]"):
        policy.act(np.zeros((64, 3), np.uint8), goals)
    with pytest.raises(StateError, match="names no object"):
        policy.act(frames, np.zeros_like(goals))
    with pytest.raises(ActionError, match="policy train"):
        policy.require_actions(np.array([-2.0], np.float32), np.array([2.0], np.float32))
    with pytest.raises(CheckpointError, match="encoder"):
        policy.attach(VideoTokenizer(latent_channels=8, width=16))
    with pytest.raises(CheckpointError):
        Policy.from_pretrained(tmp_path / "nothing")


def test_instructions_are_the_goals_they_were_made_from(policy: Policy) -> None:
    world = PushWorld()
    for seed in range(30):
        _, info = world.reset(seed=seed)
        goals = policy.goals_of([info["instruction"]])
        assert torch.equal(goals[0], torch.from_numpy(info["goal"])), info["instruction"]
    world.close()


@pytest.mark.parametrize("text", ["push the cube to the red target", "push it", "sing a song"])
def test_an_instruction_without_object_or_place_is_refused(policy: Policy, text: str) -> None:
    with pytest.raises(StateError, match="such as"):
        policy.goals_of([text])
