"""Positions that a rollout's layers know, against what the probe reads off its frames."""

import numpy as np
import pytest
import torch

from agents.planning.bodies import Bodies, read_bodies
from agents.planning.carried import CarriedBodies
from agents.planning.learned import LearnedModel
from envs.gap.probe_files import load_probe
from envs.push import PushWorld
from multimodal.layers import composite
from multimodal.tokenizer import to_uint8
from worldmodel.pipeline import WorldModelPipeline


@pytest.fixture(scope="module")
def model() -> LearnedModel:
    return LearnedModel(
        WorldModelPipeline.from_pretrained("push"), load_probe("push"), dtype=torch.float32
    )


def drawn(model: LearnedModel, state) -> torch.Tensor:
    """The frames of a rollout whose poses alone were carried."""
    now = composite(state.layered.layers, state.layered.pose)
    return to_uint8(now).permute(0, 2, 3, 1).contiguous()


@pytest.fixture(scope="module")
def frame():
    world = PushWorld(objects=3)
    seen, _ = world.reset(seed=5)
    world.close()
    return seen


def test_what_is_carried_is_where_the_probe_sees_it(model, frame):
    model.observe(frame, None)
    state = model.clone(model.reset(), 4)
    actions = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
    for _ in range(6):
        state = model.step(state, actions)
    known = model.read(state)
    seen = read_bodies(model.probe, drawn(model, state))
    assert np.abs(known.pusher_m - seen.pusher_m).max() < 0.012
    there = known.presence > 0.5
    assert there.sum() == 4 * 3
    assert np.abs(known.position_m[there] - seen.position_m[there]).mean() < 0.006


def test_what_has_no_sprite_near_it_is_not_tied(model, frame):
    model.observe(frame, None)
    state = model.reset()
    seen = read_bodies(model.probe, frame[None])[0]
    scale = 2 * float(model.probe.config["extent_m"]) / 64
    assert CarriedBodies.of(seen, state.layered, scale) is not None
    away = Bodies(seen.pusher_m, seen.position_m + 0.1, seen.presence, seen.shape)
    assert CarriedBodies.of(away, state.layered, scale) is None


def test_without_a_pusher_nothing_is_tied(model, frame):
    model.observe(frame, None)
    state = model.reset()
    layers = state.layered.layers
    nobody = state.layered._replace(layers=layers._replace(driven=torch.zeros_like(layers.driven)))
    seen = read_bodies(model.probe, frame[None])[0]
    assert CarriedBodies.of(seen, nobody, 0.0067) is None
