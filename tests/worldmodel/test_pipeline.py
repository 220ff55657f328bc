"""The pipeline: reset, step, fork, save, and what it refuses."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from multimodal.errors import ActionError, CheckpointError, ConfigError, FrameError, StateError
from worldmodel.checkpoint import write_manifest
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.rollout_state import RolloutState


def frames(batch: int, steps: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (batch, steps, 64, 64, 3)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator)


def actions(batch: int, steps: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, steps, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def same(one: RolloutState, other: RolloutState) -> bool:
    theirs = other.arrays()
    return all(torch.equal(value, theirs[name]) for name, value in one.arrays().items())


def test_a_rollout_gives_a_frame_a_reward_and_an_end_for_each_step(
    tiny_pipeline: WorldModelPipeline,
) -> None:
    state = tiny_pipeline.reset(frames(3), seed=1)
    output = tiny_pipeline.rollout(state, actions(3, 5))
    assert output.frames.shape == (3, 5, 64, 64, 3)
    assert output.frames.dtype == torch.uint8
    assert output.rewards.shape == output.terminations.shape == (3, 5)
    assert ((output.terminations >= 0) & (output.terminations <= 1)).all()
    assert output.state.step.tolist() == [5, 5, 5]


def test_stepping_leaves_the_given_state_as_it_was(tiny_pipeline: WorldModelPipeline) -> None:
    state = tiny_pipeline.reset(frames(2), seed=0)
    before = {name: value.clone() for name, value in state.arrays().items()}
    tiny_pipeline.step(state, actions(2, 1)[:, 0])
    assert all(torch.equal(value, before[name]) for name, value in state.arrays().items())


def test_two_forks_under_the_same_actions_stay_bit_equal(
    tiny_pipeline: WorldModelPipeline,
) -> None:
    state = tiny_pipeline.rollout(tiny_pipeline.reset(frames(2)), actions(2, 4)).state
    one = tiny_pipeline.rollout(state.fork(), actions(2, 6, seed=1))
    other = tiny_pipeline.rollout(state.fork(), actions(2, 6, seed=1))
    assert torch.equal(one.frames, other.frames)
    assert same(one.state, other.state)


def test_a_saved_state_goes_on_bit_for_bit_after_loading(
    tiny_pipeline: WorldModelPipeline, tmp_path: Path
) -> None:
    state = tiny_pipeline.rollout(tiny_pipeline.reset(frames(2)), actions(2, 4)).state
    state.save(tmp_path / "state.safetensors")
    loaded = RolloutState.load(tmp_path / "state.safetensors")
    assert same(state, loaded)
    one = tiny_pipeline.rollout(state, actions(2, 3, seed=2)).frames
    assert torch.equal(one, tiny_pipeline.rollout(loaded, actions(2, 3, seed=2)).frames)


def test_lanes_can_be_picked_joined_and_replaced(tiny_pipeline: WorldModelPipeline) -> None:
    state = tiny_pipeline.reset(frames(3))
    joined = RolloutState.concatenate([state.select([2]), state.select([0, 1])])
    assert same(joined.select([1, 2, 0]), state)
    later = tiny_pipeline.step(state, actions(3, 1)[:, 0]).state
    mixed = later.where(torch.tensor([True, False, True]), state)
    assert mixed.step.tolist() == [1, 0, 1]
    assert torch.equal(mixed.memory.latents[1], state.memory.latents[1])


def test_saving_and_loading_the_pipeline_changes_no_frame(
    tiny_pipeline: WorldModelPipeline, tmp_path: Path
) -> None:
    tiny_pipeline.save_pretrained(tmp_path / "model")
    again = WorldModelPipeline.from_pretrained(tmp_path / "model")
    assert again.config.world == tiny_pipeline.config.world
    one = tiny_pipeline.rollout(tiny_pipeline.reset(frames(1)), actions(1, 3)).frames
    assert torch.equal(one, again.rollout(again.reset(frames(1)), actions(1, 3)).frames)


def test_several_frames_of_context_are_remembered(tiny_pipeline: WorldModelPipeline) -> None:
    clip, acts = frames(1, 4), actions(1, 3)
    state = tiny_pipeline.reset(clip, acts)
    alone = tiny_pipeline.reset(clip[:, -1:])
    assert int(state.memory.filled) == 3
    assert torch.allclose(state.memory.latents, alone.memory.latents, atol=1e-5)
    assert not torch.equal(state.memory.change, alone.memory.change)


def test_a_clip_longer_than_the_context_counts_only_its_end(
    tiny_pipeline: WorldModelPipeline,
) -> None:
    length = tiny_pipeline.context + 4
    clip, acts = frames(1, length), actions(1, length - 1)
    whole = tiny_pipeline.reset(clip, acts)
    end = tiny_pipeline.reset(clip[:, 3:], acts[:, 3:])
    assert torch.equal(whole.memory.latents, end.memory.latents)
    assert torch.equal(whole.memory.places, end.memory.places)


@pytest.mark.slow
def test_step_ten_thousand_costs_what_step_one_hundred_costs(
    tiny_pipeline: WorldModelPipeline,
) -> None:
    state = tiny_pipeline.reset(frames(1))
    sizes, times = {}, []
    acts = actions(1, 64)
    for step in range(1, 2001):
        started = time.perf_counter()
        state = tiny_pipeline.advance(state, acts[:, step % 64])
        times.append(time.perf_counter() - started)
        if step in (100, 2000):
            sizes[step] = sum(value.nbytes for value in state.arrays().values())
    assert sizes[100] == sizes[2000]
    assert np.median(times[-500:]) < 1.5 * np.median(times[100:600])


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros((1, 1, 64, 64, 3), np.float32), "uint8"),
        (np.zeros((1, 1, 32, 32, 3), np.uint8), "64x64 px, got 32x32"),
        (np.zeros((1, 1, 3, 64, 64), np.uint8), "channels come first"),
        (np.zeros((64, 64, 3), np.uint8), "(B, T, H, W, 3)"),
    ],
)
def test_malformed_first_frames_are_refused(
    tiny_pipeline: WorldModelPipeline, bad: np.ndarray, said: str
) -> None:
    with pytest.raises(FrameError) as caught:
        tiny_pipeline.reset(bad)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((1, 3), np.float32),
        np.zeros((2, 2), np.float32),
        np.array([[np.nan, 0]], np.float32),
        np.array([[1.5, 0]], np.float32),
    ],
)
def test_malformed_actions_are_refused(tiny_pipeline: WorldModelPipeline, bad: np.ndarray) -> None:
    with pytest.raises(ActionError):
        tiny_pipeline.step(tiny_pipeline.reset(frames(1)), bad)


def test_several_frames_without_the_actions_between_them_are_refused(
    tiny_pipeline: WorldModelPipeline,
) -> None:
    with pytest.raises(ActionError, match="need the 2 actions"):
        tiny_pipeline.reset(frames(1, 3))


def test_a_goal_of_another_length_is_refused(tiny_pipeline: WorldModelPipeline) -> None:
    with pytest.raises(StateError, match="Goals must have shape"):
        tiny_pipeline.reset(frames(1), goals=np.zeros((1, 99), np.float32))


def test_a_flipped_bit_in_the_weights_is_noticed_before_they_are_used(
    tiny_pipeline: WorldModelPipeline, tmp_path: Path
) -> None:
    tiny_pipeline.save_pretrained(tmp_path)
    weights = next((tmp_path / "dynamics").glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-7] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="safetensors"):
        WorldModelPipeline.from_pretrained(tmp_path)


def test_a_checkpoint_of_another_kind_is_refused(
    tiny_pipeline: WorldModelPipeline, tmp_path: Path
) -> None:
    tiny_pipeline.save_pretrained(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"kind": "state-probe"}))
    with pytest.raises(CheckpointError):
        WorldModelPipeline.from_pretrained(tmp_path)


def test_a_state_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"not a state")
    with pytest.raises(StateError, match="not a saved rollout state"):
        RolloutState.load(tmp_path / "x")


def test_weights_that_a_newer_version_needs_are_missed_by_name(
    tiny_pipeline: WorldModelPipeline, tmp_path: Path
) -> None:
    folder = tmp_path / "older"
    tiny_pipeline.save_pretrained(folder)
    weights = folder / "dynamics" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    del tensors["recall.weight"]
    save_file(tensors, weights, {"format": "pt"})
    write_manifest(folder, "world-model")
    with pytest.raises(CheckpointError, match=r"recall\.weight"):
        WorldModelPipeline.from_pretrained(folder)


def test_the_oldest_given_frame_is_the_one_that_is_remembered(
    tiny_pipeline: WorldModelPipeline,
) -> None:
    video = frames(1, tiny_pipeline.context + 4)
    state = tiny_pipeline.reset(video, actions(1, tiny_pipeline.context + 3))
    oldest = tiny_pipeline.reset(video[:, :1])
    assert torch.allclose(state.memory.first, oldest.memory.latents, atol=1e-5)


@pytest.mark.parametrize("ask", [{"dtype": torch.bfloat16}, {}])
def test_weights_stay_in_float32_and_sixteen_bits_come_by_autocast(
    tiny_pipeline: WorldModelPipeline, ask: dict[str, torch.dtype]
) -> None:
    with pytest.raises(ConfigError, match="autocast"):
        tiny_pipeline.to(**ask) if ask else tiny_pipeline.to(torch.float16)
    with pytest.raises(ConfigError, match="autocast"):
        WorldModelPipeline.from_pretrained("push", torch_dtype=torch.bfloat16)
    assert tiny_pipeline.to("cpu", torch.float32) is not None
    plain = tiny_pipeline.rollout(tiny_pipeline.reset(frames(2)), actions(2, 3))
    with torch.autocast("cpu", torch.bfloat16):
        fast = tiny_pipeline.rollout(tiny_pipeline.reset(frames(2)), actions(2, 3))
    apart = (plain.frames.float() - fast.frames.float()).abs().mean()
    assert apart < 4
