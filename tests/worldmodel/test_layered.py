"""Rollouts that carry layers: what stays, what is saved, and the same model without them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from envs.push import PushWorld
from multimodal.errors import CheckpointError
from worldmodel.motion import Bodies
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.rollout_state import RolloutState
from worldmodel.solids import overlaps_px


@pytest.fixture(scope="module")
def shipped() -> WorldModelPipeline:
    return WorldModelPipeline.from_pretrained("push")


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    """First frames of four scenes, uint8 (4, 1, 64, 64, 3)."""
    world = PushWorld()
    seen = [world.reset(seed=seed)[0] for seed in range(2**31 - 4, 2**31)]
    world.close()
    return torch.from_numpy(np.stack(seen))[:, None]


def actions(batch: int, steps: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, steps, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_rollout_begins_at_the_very_frame_it_was_given(shipped, frames):
    assert torch.equal(shipped.render(shipped.reset(frames)), frames[:, 0])


def test_the_pusher_and_every_object_are_found(shipped, frames):
    layers = shipped.reset(frames).layered.layers
    assert layers.present.sum(1).tolist() == [4] * 4
    assert (layers.driven & layers.present).sum(1).tolist() == [1] * 4


def test_where_no_body_comes_nothing_changes_by_a_bit(shipped, frames):
    state = start = shipped.reset(frames)
    steps = torch.arange(64) + 0.5
    near = torch.zeros(4, 64, 64, dtype=torch.bool)
    for action in actions(4, 20).unbind(1):
        state = shipped.advance(state, action)
        for pose in (start.layered.pose, state.layered.pose):
            across = (steps - pose[..., :1])[:, :, None, :]
            down = (steps - pose[..., 1:2])[:, :, :, None]
            near |= (across.square() + down.square() < 10**2).any(1)
    assert 0.2 < near.float().mean() < 0.9
    assert torch.equal(shipped.render(state)[~near], frames[:, 0][~near])
    assert not torch.equal(shipped.render(state)[near], frames[:, 0][near])


def test_a_state_is_saved_right_after_the_reset(shipped, frames, tmp_path: Path):
    state = shipped.reset(frames)
    state.save(tmp_path / "state.safetensors")
    loaded = RolloutState.load(tmp_path / "state.safetensors")
    assert torch.equal(shipped.render(loaded), frames[:, 0])


def test_half_of_the_layers_is_refused(shipped):
    with pytest.raises(CheckpointError, match="belong together"):
        WorldModelPipeline(
            shipped.tokenizer, shipped.dynamics, shipped.scheduler, motion=shipped.motion
        )


def test_the_pusher_follows_the_action(shipped, frames):
    state = shipped.reset(frames)
    driver = state.layered.layers.driven.int().argmax(1)
    right = shipped.rollout(state, torch.tensor([1.0, 0.0]).expand(4, 3, 2)).state
    up = shipped.rollout(state, torch.tensor([0.0, 1.0]).expand(4, 3, 2)).state
    lanes = torch.arange(4)
    start = state.layered.pose[lanes, driver]
    assert ((right.layered.pose[lanes, driver] - start)[:, 0] > 2).sum() >= 3
    assert ((up.layered.pose[lanes, driver] - start)[:, 1] < -2).sum() >= 3


def test_a_saved_state_goes_on_bit_for_bit(shipped, frames, tmp_path: Path):
    state = shipped.rollout(shipped.reset(frames), actions(4, 5)).state
    state.save(tmp_path / "state.safetensors")
    loaded = RolloutState.load(tmp_path / "state.safetensors")
    one = shipped.rollout(state, actions(4, 5, 1)).frames
    assert torch.equal(one, shipped.rollout(loaded, actions(4, 5, 1)).frames)


def test_lanes_can_be_selected_and_joined(shipped, frames):
    state = shipped.rollout(shipped.reset(frames), actions(4, 3)).state
    again = RolloutState.concatenate([state.select([2, 3]), state.select([0, 1])])
    swapped = shipped.render(again)
    assert torch.equal(swapped, shipped.render(state)[[2, 3, 0, 1]])


def test_without_layers_frames_come_from_the_dynamics(shipped, frames):
    plain = shipped.without_layers()
    state = plain.reset(frames)
    assert state.layered is None
    step = plain.step(state, actions(4, 1)[:, 0])
    assert step.frame.shape == (4, 64, 64, 3)
    assert step.state.memory.layers


def test_a_pipeline_without_layers_is_saved_and_opened_as_one(shipped, tmp_path: Path):
    shipped.without_layers().save_pretrained(tmp_path / "plain")
    plain = WorldModelPipeline.from_pretrained(tmp_path / "plain")
    assert plain.motion is None
    assert plain.layer_reader is None


def test_poses_alone_go_where_drawn_rollouts_go(shipped, frames):
    drawn = quiet = shipped.reset(frames)
    for action in actions(4, 8).unbind(1):
        drawn, quiet = shipped.advance(drawn, action), shipped.advance(quiet, action, draw=False)
    assert torch.equal(drawn.layered.pose, quiet.layered.pose)
    assert torch.equal(quiet.layered.frame, frames[:, 0])


def test_a_coarser_number_format_around_it_leaves_poses_exact(shipped, frames):
    state, action = shipped.reset(frames), actions(4, 1)[:, 0]
    fine = shipped.advance(state, action).layered.pose
    with torch.autocast("cpu", torch.bfloat16):
        coarse = shipped.advance(state, action).layered.pose
    assert torch.equal(fine, coarse)


def test_on_a_darker_table_no_bright_stain_is_left_behind(shipped, frames):
    """What was painted in behind the bodies takes the tone of what lies around them."""
    darker = (frames[:, 0].float() * 0.9).to(torch.uint8)
    reader = shipped.layer_reader
    layers = reader.read(darker)
    bodies = layers.present.sum(1)
    assert bodies.tolist() == [4] * 4
    pixels = darker.permute(0, 3, 1, 2).float() / 255
    hidden = (layers.plate != pixels).any(1)
    table = pixels.flatten(2).median(2).values[..., None, None]
    painted = reader(pixels).plate.clamp(0, 1)
    before, after = (
        (plate - table).abs().mean(1)[hidden].median() for plate in (painted, layers.plate)
    )
    assert after < 0.5 * before


def test_solid_bodies_keep_out_of_each_other_on_a_long_push(shipped, frames):
    state = shipped.reset(frames)
    motion = shipped.motion
    assert motion.solid
    deepest = []
    for action in actions(4, 60, seed=5).unbind(1):
        state = shipped.advance(state, action.sign() * 0.9, draw=False)
        held = state.layered
        bodies = Bodies(
            held.pose, held.shift, held.look, held.layers.driven, held.layers.present, held.reach
        )
        deepest.append(overlaps_px(motion.outlines(bodies), held.pose))
    touching = torch.cat(deepest)
    assert (touching > 0).sum() > 5
    assert touching.max() < motion.config.overlap_px + 1
