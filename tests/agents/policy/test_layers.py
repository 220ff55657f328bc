"""A policy over the poses of layers: what it sees, what it carries, and how it is trained."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.policy.beginnings import ReadBeginnings
from agents.policy.imagination import Imagination
from agents.policy.layer_eyes import LayerEyes, turned
from agents.policy.layer_objective import LayerFrames, LayerSightObjective, look_at
from agents.policy.policy import Policy
from agents.policy.pose_lanes import PoseLanes, PoseState
from agents.policy.preparation import begun
from agents.policy.sight import Sight
from agents.policy.sight_objective import true_sight
from agents.policy.starts import PushStarts, Start, open_goals
from agents.policy.worlds import lanes_of
from envs.layer_stage import body_tracks, metres_of
from multimodal.errors import CheckpointError, ConfigError, DatasetError, FrameError
from multimodal.flat import FlatEpisodes
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.solids import rims


@pytest.fixture(scope="module")
def begins(flat: FlatEpisodes) -> Start:
    return PushStarts(flat).draw(6, np.random.default_rng(0))


def lanes_over_poses(pipeline: WorldModelPipeline, policy: Policy) -> PoseLanes:
    lanes = lanes_of(pipeline, policy)
    assert isinstance(lanes, PoseLanes)
    return lanes


def test_places_in_pixels_are_where_the_state_says(flat: FlatEpisodes) -> None:
    state = {name: array[:50] for name, array in flat.state.items()}
    tracks = body_tracks(state, 64)
    driven = torch.from_numpy(tracks.driven).expand(50, -1)
    place_m = metres_of(torch.from_numpy(tracks.pose[..., :2]), driven, 64)
    assert np.allclose(place_m[:, 0], state["pusher_position_m"], atol=1e-5)
    here = state["object_present"]
    assert np.allclose(place_m[:, 1:][here], state["object_position_m"][here], atol=1e-5)


def test_looks_turn_as_the_body_does(flat: FlatEpisodes) -> None:
    state = {name: array[:40] for name, array in flat.state.items()}
    before = true_sight(state)
    after = true_sight({**state, "object_yaw_rad": state["object_yaw_rad"] + 0.4})
    here = before.object_present > 0
    rotated = turned(before.looks, torch.full(here.shape, 0.4))
    assert torch.allclose(rotated[here], after.looks[here], atol=1e-5)


def test_the_pusher_is_read_and_carried_without_a_picture(
    layered_pipeline: WorldModelPipeline, layer_policy: Policy, flat: FlatEpisodes
) -> None:
    rows = [3, 40, 90]
    frames = torch.from_numpy(np.array(flat.frames[rows]))
    truth = torch.from_numpy(np.array(flat.state["pusher_position_m"][rows])).float()
    seen = Sight.from_vector(layer_policy.see(frames))
    assert float((seen.pusher_m - truth).norm(dim=-1).max()) < 0.005
    lanes = lanes_over_poses(layered_pipeline, layer_policy)
    state = lanes.begin(Start(frames[:, None], torch.zeros(3, 16)))
    assert torch.allclose(lanes.seen(state), layer_policy.see(frames), atol=1e-5)
    after = lanes.advance(state, torch.tensor([[1.0, 0.0]] * 3))
    moved = Sight.from_vector(lanes.seen(after)).pusher_m - seen.pusher_m
    assert bool((moved[:, 0] > 0.001).all())
    # What a picture would show is what the pipeline itself carries.
    whole = layered_pipeline.reset(frames[:, None])
    whole = layered_pipeline.advance(whole, torch.tensor([[1.0, 0.0]] * 3), draw=False)
    assert whole.layered is not None
    assert torch.allclose(whole.layered.pose, after.pose, atol=1e-5)


def test_sprites_are_named_after_the_bodies_they_were_cut_from(
    layered_pipeline: WorldModelPipeline, flat: FlatEpisodes
) -> None:
    looked = look_at(layered_pipeline.layer_reader, flat, "train", 24, 0)
    named = (looked.colour >= 0).sum(1)
    present = Sight.from_vector(looked.sight).object_present
    assert float((named == present.sum(1)).float().mean()) > 0.9
    for row in range(24):
        colours = set(looked.colour[row][looked.colour[row] >= 0].tolist())
        assert colours <= set(present[row].nonzero()[:, 0].tolist())
    again = look_at(layered_pipeline.layer_reader, flat, "train", 24, 0)
    assert torch.equal(looked.sight, again.sight)
    empty = copy.copy(flat)
    object.__setattr__(empty, "splits", np.zeros_like(flat.splits))
    with pytest.raises(DatasetError, match="validation"):
        look_at(layered_pipeline.layer_reader, empty, "validation", 4, 0)


def test_eyes_over_layers_learn_colours_and_zones(
    layered_pipeline: WorldModelPipeline, flat: FlatEpisodes
) -> None:
    torch.manual_seed(0)
    frames = LayerFrames(look_at(layered_pipeline.layer_reader, flat, "train", 48, 0), 0, 10_000)
    assert torch.equal(frames[3]["sight"], frames.__getitems__([3, 4])[0]["sight"])
    objective = LayerSightObjective(LayerEyes(64, 24, 16)).train()
    optimizer = torch.optim.AdamW(objective.parameters(), 4e-3)
    history = []
    for step in range(40):
        items = frames.__getitems__(list(range(16 * step, 16 * step + 16)))
        figures = objective(**{k: torch.stack([item[k] for item in items]) for k in items[0]})
        optimizer.zero_grad()
        figures["loss"].backward()
        optimizer.step()
        history.append({name: value.item() for name, value in figures.items()})
    # One of six would be chance.
    assert np.mean([line["colour_wrong"] for line in history[-5:]]) < 0.4
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]


def test_lanes_begin_at_frames_that_were_read_before_and_never_solved(
    layered_pipeline: WorldModelPipeline,
    layer_policy: Policy,
    flat: FlatEpisodes,
    tmp_path: Path,
) -> None:
    lanes = lanes_over_poses(layered_pipeline, layer_policy)
    states = begun(lanes, look_at(layered_pipeline.layer_reader, flat, "train", 24, 0))
    # The eyes are untrained: what they would have to say is written in its place.
    truth = true_sight({name: array[:24] for name, array in flat.state.items()}).vector()
    states = PoseState(**{**states.arrays(), "sight": truth})
    states.save(tmp_path / "states.safetensors")
    loaded = PoseState.load(tmp_path / "states.safetensors")
    assert all(torch.equal(value, loaded.arrays()[k]) for k, value in states.arrays().items())
    begins = ReadBeginnings(loaded)
    state, goals = begins.draw(30, np.random.default_rng(0))
    assert state.batch_size == len(goals) == 30
    again, same = begins.draw(30, np.random.default_rng(0))
    assert torch.equal(goals, same)
    assert torch.equal(state.pose, again.pose)
    sight = Sight.from_vector(state.sight)
    assert bool(((goals[:, :6] * sight.object_present).sum(1) > 0.5).all())
    assert not bool(state.rough.any())
    rough = ReadBeginnings(loaded, rough=0.3).draw(400, np.random.default_rng(0))[0].rough
    assert 0.2 < float(rough.float().mean()) < 0.4
    nothing = PoseState(**{**states.arrays(), "sight": torch.zeros_like(states.sight)})
    with pytest.raises(DatasetError, match="begin at"):
        ReadBeginnings(nothing).draw(4, np.random.default_rng(0))
    imagination = Imagination(lanes, begins, 6, longest=4, doubt=0.1, blur_m=0.001)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    batch = imagination.roll(layer_policy, 5, rng, generator)
    assert batch.rewards.shape == (5, 6)
    assert batch.doubt.shape == (5, 6)
    assert bool(torch.isfinite(batch.features).all())


def test_doubt_is_where_a_small_misreading_matters(
    layered_pipeline: WorldModelPipeline, layer_policy: Policy, begins: Start
) -> None:
    lanes = lanes_over_poses(layered_pipeline, layer_policy)
    state = lanes.begin(begins)
    still = torch.zeros(6, 2)
    with torch.no_grad():
        motion = copy.deepcopy(lanes._motion)
        motion.head.bias.zero_()
        motion.head.weight.zero_()
        lanes._motion = motion
        # A model in which nothing but the pusher moves is sure of every object.
        assert float(lanes.doubt(state, still).max()) < 1e-6
        torch.manual_seed(0)
        motion.head.weight.normal_()
        motion.head.bias[3] = 100.0
    assert float(lanes.doubt(state, still).min()) > 1e-3


def test_goals_are_of_what_is_there_and_open(flat: FlatEpisodes) -> None:
    sight = true_sight({name: array[:200] for name, array in flat.state.items()})
    goals, open_ = open_goals(sight, np.random.default_rng(0))
    assert bool(((goals[:, :6] * sight.object_present).sum(1) == 1).all())
    assert bool(open_.any())


def test_a_policy_over_layers_refuses_what_it_was_not_trained_on(
    layer_policy: Policy,
    policy: Policy,
    layered_pipeline: WorldModelPipeline,
    tiny_pipeline: WorldModelPipeline,
    begins: Start,
    tmp_path: Path,
) -> None:
    with pytest.raises(CheckpointError, match="sees layers"):
        layer_policy.attach(tiny_pipeline)
    with pytest.raises(CheckpointError, match="sees layers"):
        layer_policy.attach(tiny_pipeline.tokenizer)
    reader = copy.deepcopy(layered_pipeline.layer_reader)
    reader.stem[1].weight.data += 0.1
    with pytest.raises(CheckpointError, match="trained in"):
        layer_policy.attach(reader)
    with pytest.raises(FrameError, match="latents"):
        policy.see(layered_pipeline.layer_reader.read(begins.frames[:, -1]))
    layer_policy.save_pretrained(tmp_path / "policy")
    loaded = Policy.from_pretrained(tmp_path / "policy")
    frames, goals = begins.frames[:, -1], begins.goals
    assert torch.equal(loaded.act(frames, goals), layer_policy.act(frames, goals))
    lanes = lanes_of(tiny_pipeline, policy)
    state = lanes.begin(begins)
    with pytest.raises(ConfigError, match=r"imagination\.doubt=0"):
        lanes.doubt(state, torch.zeros(6, 2))


def test_a_rough_edge_holds_what_is_pushed_along_it_and_lets_go_what_is_pushed_away(
    layered_pipeline: WorldModelPipeline, layer_policy: Policy, begins: Start
) -> None:
    lanes = lanes_over_poses(layered_pipeline, layer_policy)
    state = lanes.begin(begins).select([0, 0, 0])
    body, pusher = int((state.present & ~state.driven)[0].nonzero()[0]), int(state.pusher[0])
    present = torch.zeros_like(state.present)
    present[:, [body, pusher]] = True
    pose = state.pose.clone()
    # The body leans on the left edge with the pusher above it; in the last lane neither does.
    motion = copy.deepcopy(lanes._motion)
    motion.register_to_config(overlap_px=0.0, edge_px=0.0)
    lanes._motion = motion
    outline = rims(state.reach[0, body], pose[0, body, 2])
    side, top = (-float(value) for value in outline.amin(0))
    bottom = float(rims(state.reach[0, pusher], pose[0, pusher, 2])[:, 1].max())
    pose[:, body, :2] = torch.tensor([side, 32.0])
    pose[:, pusher, :2] = torch.tensor([side, 32.0 - top - bottom])
    pose[2, body, 0] += 6
    pose[2, pusher, 0] += 6
    rough = torch.tensor([False, True, True])
    state = replace(state, pose=pose, present=present, rough=rough)
    down = torch.tensor([[0.0, -1.0]] * 3)
    after = lanes.advance(state, down)
    way = (after.pose - state.pose)[:, body, 1]
    assert float(way[0]) > 0.5, "without roughness the body slides along the edge"
    assert torch.equal(after.pose[1], state.pose[1])
    assert not bool(after.shift[1].any())
    assert float(way[2]) > 0.5, "away from edges nothing is held"
    back = lanes.advance(after, -down)
    assert float((back.pose - after.pose)[1, pusher, 1]) < -0.5, "the pusher comes away"
