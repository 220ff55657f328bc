"""Compact worlds: three tokens a frame, a filter, and the pipeline they fit into."""

import copy
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FlowMapEulerDiscreteScheduler

from multimodal.errors import ConfigError, DatasetError
from multimodal.flat import FlatEpisodes
from worldmodel.compact import DEED, MOTION, POSE, CompactDynamics, CompactTokenizer
from worldmodel.compact_clips import CompactClips
from worldmodel.objectives.compact import CompactObjective
from worldmodel.pipeline import WorldModelPipeline

TRUNK = {"latent_channels": 8, "width": 8}
FRAMES = np.random.default_rng(0).integers(0, 255, (3, 4, 64, 64, 3), dtype=np.uint8)
ACTIONS = torch.tensor([[0.5, -1.0]]).repeat(3, 1)


def parts(action_dim: int = 2) -> tuple[CompactTokenizer, CompactDynamics]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = CompactTokenizer(TRUNK, latent_channels=8, points=4, hidden=16)
        dynamics = CompactDynamics(action_dim, channels=8, hidden=16, state_dim=3)
        for member in dynamics.nets:
            torch.nn.init.normal_(member[-1].weight, std=0.2)
    return tokenizer, dynamics


@pytest.fixture
def world() -> WorldModelPipeline:
    return WorldModelPipeline(*parts(), FlowMapEulerDiscreteScheduler(), world="Reacher-v5")


def test_a_compact_world_is_a_pipeline_that_comes_back_as_it_was(
    world: WorldModelPipeline,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = world.reset(FRAMES, torch.zeros(3, 3, 2))
    assert state.memory.latents.shape == (3, 3, 8)
    output = world.step(state.fork(), ACTIONS)
    assert output.frame.shape == (3, 64, 64, 3)
    world.save_pretrained(tmp_path / "world")
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    again = WorldModelPipeline.from_pretrained(tmp_path / "world")
    assert "Expected types" not in caplog.text
    assert isinstance(again.dynamics, CompactDynamics)
    other = again.step(again.reset(FRAMES, torch.zeros(3, 3, 2)), ACTIONS)
    assert torch.equal(other.frame, output.frame)
    assert torch.equal(other.reward, output.reward)


def test_the_deed_remembers_what_was_done_and_how_sure_the_members_were(
    world: WorldModelPipeline,
) -> None:
    state = world.advance(world.reset(FRAMES[:, :1]), ACTIONS)
    tokens = state.memory.latents
    assert torch.equal(tokens[:, DEED, :2], ACTIONS)
    assert bool((tokens[:, DEED, 2] > 0).all())
    alike = copy.deepcopy(world.dynamics)
    alike.nets = torch.nn.ModuleList([alike.nets[0]] * 3)
    step = alike.foresee(tokens[:, POSE], tokens[:, MOTION], ACTIONS)
    assert torch.allclose(step.doubt, torch.zeros(3), atol=1e-6)


def test_what_was_foreseen_corrects_nothing_and_a_surprise_does(world: WorldModelPipeline) -> None:
    dynamics = world.dynamics
    memory = world.reset(FRAMES[:, :1]).memory
    prediction = dynamics.predict(memory, ACTIONS)
    kept = dynamics.advance(memory, prediction.latents, prediction)
    assert torch.equal(kept.latents, prediction.latents)
    seen = world.tokenizer.encode(FRAMES[:, 1:2])[:, 0]
    corrected = dynamics.advance(memory, seen, prediction)
    # The first gains take the pose as it is seen, and half of the surprise as motion.
    assert torch.allclose(corrected.latents[:, POSE], seen[:, POSE], atol=1e-5)
    surprise = seen[:, POSE] - prediction.latents[:, POSE]
    moved = corrected.latents[:, MOTION] - prediction.latents[:, MOTION]
    assert torch.allclose(moved, 0.5 * surprise, atol=1e-5)


def test_more_actions_than_a_token_holds_are_refused() -> None:
    with pytest.raises(ConfigError, match="channels=20"):
        CompactDynamics(12, channels=8)


def recorded(tmp_path: Path, lengths: tuple[int, ...] = (3, 9)) -> tuple[FlatEpisodes, np.ndarray]:
    starts = np.cumsum([0, *(length + 1 for length in lengths)])
    total = int(starts[-1])
    rng = np.random.default_rng(0)
    flat = FlatEpisodes(
        frames=np.zeros((total, 64, 64, 3), np.uint8),
        actions=rng.uniform(-2, 2, (total, 2)).astype(np.float32),
        rewards=np.arange(total, dtype=np.float32),
        terminations=np.isin(np.arange(total), starts[1:] - 2),
        success=np.zeros(total, bool),
        state={"observation": rng.normal(size=(total, 3))},
        goals=np.zeros((len(lengths), 0), np.float32),
        starts=starts,
        splits=np.zeros(len(lengths), np.int8),
        path=tmp_path,
    )
    return flat, rng.normal(size=(total, 64, 8)).astype(np.float16)


def clips(flat: FlatEpisodes, latents: np.ndarray, count: int = 64) -> CompactClips:
    bound = np.full(2, 2, np.float32)
    return CompactClips(flat, latents, "train", 6, 0, count, -bound, bound)


def test_clips_stop_where_their_episode_does(tmp_path: Path) -> None:
    flat, latents = recorded(tmp_path)
    data = clips(flat, latents)
    lengths = set()
    for index in range(len(data)):
        clip = data[index]
        length = int(clip["length"])
        lengths.add(length)
        rewards = clip["rewards"][: length - 1].tolist()
        first = int(rewards[0])
        assert rewards == list(range(first, first + length - 1))
        assert bool(clip["fresh"]) == (first in (0, 4))
        assert bool(clip["ends"][length - 2]) == (first + length - 2 in (2, 12))
        assert float(clip["actions"].abs().max()) <= 1
    assert lengths == {2, 3, 4, 5, 6}
    with pytest.raises(DatasetError, match="test episodes"):
        CompactClips(flat, latents, "test", 6, 0, 1, np.zeros(2), np.ones(2))


def test_frames_after_the_end_do_not_count(tmp_path: Path) -> None:
    flat, latents = recorded(tmp_path, (3,))
    data = clips(flat, latents, 8)
    items = data.__getitems__(list(range(8)))
    batch = {name: torch.stack([item[name] for item in items]) for name in items[0]}
    objective = CompactObjective(*parts(), pictures=1.0).eval()
    with torch.no_grad():
        torch.manual_seed(0)
        figures = objective(**batch)
        for name in ("rewards", "latents", "state"):
            late = torch.arange(batch[name].shape[1])[None] >= (
                batch["length"][:, None] - int(name == "rewards")
            )
            wide = late.view(*late.shape, *(1,) * (batch[name].ndim - 2))
            batch[name] = torch.where(wide, torch.full_like(batch[name], 7), batch[name])
        torch.manual_seed(0)
        torch.testing.assert_close(objective(**batch)["loss"], figures["loss"])


def test_gains_are_learned_of_every_number_of_frames_that_they_differ_for(tmp_path: Path) -> None:
    flat, latents = recorded(tmp_path, (12, 12))
    bound = np.full(2, 2, np.float32)
    data = CompactClips(flat, latents, "train", 12, 0, 64, -bound, bound)
    items = data.__getitems__(list(range(64)))
    batch = {name: torch.stack([item[name] for item in items]) for name in items[0]}
    objective = CompactObjective(*parts())
    torch.manual_seed(0)
    objective(**batch)["loss"].backward()
    for gain in (objective.dynamics.pose_gain, objective.dynamics.motion_gain):
        assert gain.grad is not None
        assert bool((gain.grad.abs().amax(1) > 0).all()), "the last serves all frames after it"


def test_tokens_are_jittered_in_training_alone(tmp_path: Path) -> None:
    flat, latents = recorded(tmp_path)
    items = clips(flat, latents).__getitems__(list(range(8)))
    batch = {name: torch.stack([item[name] for item in items]) for name in items[0]}

    def loss(jitter: float, training: bool) -> float:
        objective = CompactObjective(*parts(), jitter=jitter).train(training)
        torch.manual_seed(0)
        return float(objective(**batch)["state_loss"].detach())

    assert loss(0.5, False) == loss(0.0, False)
    assert loss(0.5, True) != loss(0.0, True)


def test_the_objective_learns_to_tell_state_and_reward(tmp_path: Path) -> None:
    flat, latents = recorded(tmp_path)
    data = clips(flat, latents)
    items = data.__getitems__(list(range(32)))
    batch = {name: torch.stack([item[name] for item in items]) for name in items[0]}
    torch.manual_seed(0)
    tokenizer, _ = parts()
    dynamics = CompactDynamics(2, channels=8, hidden=32, state_dim=3, reward_high=14.0)
    objective = CompactObjective(tokenizer, dynamics)
    optimizer = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], 1e-2)
    errors = []
    for _ in range(40):
        figures = objective(**batch)
        optimizer.zero_grad()
        figures["loss"].backward()
        optimizer.step()
        errors.append((float(figures["reward_error"]), float(figures["state_loss"])))
    assert errors[-1][0] < 0.4 * errors[0][0]
    assert errors[-1][1] < 0.5 * errors[0][1]
    assert all(p.grad is None for p in tokenizer.trunk.parameters())
