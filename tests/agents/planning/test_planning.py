"""Planners over the learned model and over MuJoCo, with the shipped model."""

import numpy as np
import pytest
import torch

from agents.planning import (
    Bodies,
    CrossEntropy,
    GoalCost,
    LearnedModel,
    PathIntegral,
    Place,
    SimulatedModel,
    imagine,
)
from agents.planning.planners import coloured_noise
from agents.planning.proposals import push_proposals
from envs.push import PushWorld
from envs.push_scene import PUSHER_SPEED_M_S
from multimodal.errors import ConfigError, StateError
from worldmodel.pipeline import WorldModelPipeline

SEED = 500_001


@pytest.fixture(scope="module")
def pipeline():
    return WorldModelPipeline.from_pretrained("push")


@pytest.fixture(scope="module")
def scene(eyes):
    """A world, its first frame, and the cost of the world's own goal."""
    world = PushWorld(objects=[1, 4], max_steps=0, terminate_on_success=False)
    frame, _ = world.reset(seed=SEED)
    goal, bodies = world.goal, eyes.look(frame).bodies
    place = Place(tuple(world.place_m(goal)) if goal.wall < 0 else None, goal.wall)
    yield world, frame, GoalCost(goal.colour, place, bodies)
    world.close()


def test_the_learned_model_and_mujoco_imagine_nearly_the_same(scene, eyes, pipeline):
    world, frame, cost = scene
    learned = LearnedModel(pipeline, eyes.probe)
    learned.observe(frame, None)
    start = cost.start
    actions = push_proposals(
        start.pusher_m, start.position_m[cost.colour], cost.place, 2, 4, np.random.default_rng(0)
    )
    here = imagine(learned, actions, every=2)
    there = imagine(SimulatedModel(world, eyes.probe), actions, every=2)
    assert here.steps == there.steps == (2, 4)
    assert here.bodies.pusher_m.shape == (2, 2, 2)
    off_m = np.linalg.norm(here.bodies.pusher_m - there.bodies.pusher_m, axis=-1)
    assert off_m.max() < 0.02


def test_imagining_in_mujoco_leaves_the_world_bit_equal(scene, eyes):
    world, frame, cost = scene
    before = world.save_state()
    planner = CrossEntropy(candidates=3, horizon=3, every=3)
    planner.plan(SimulatedModel(world, eyes.probe), cost, None, 0)
    after = world.save_state()
    assert all(np.array_equal(before.arrays[name], after.arrays[name]) for name in before.arrays)
    assert np.array_equal(world.render(), frame)


@pytest.mark.parametrize("method", [CrossEntropy, PathIntegral])
def test_a_plan_is_better_than_standing_still_and_stays_inside_the_actions(scene, eyes, method):
    world, _, cost = scene
    model = SimulatedModel(world, eyes.probe)
    planner = method(candidates=6, horizon=8, iterations=2, every=4)
    plan = planner.plan(model, cost, None, 0)
    still = imagine(model, np.zeros((1, 8, 2), np.float32), every=4)
    assert plan.cost < float(cost(still.bodies, still.steps, 8)[0]) - 0.05
    assert np.abs(plan.actions).max() <= 1
    assert plan.actions.shape == (8, 2)
    again = method(candidates=6, horizon=8, iterations=2, every=4).plan(model, cost, None, 0)
    assert np.array_equal(again.actions, plan.actions)


def test_the_rest_of_the_last_plan_is_tried_again(scene, eyes):
    world, _, cost = scene
    model = SimulatedModel(world, eyes.probe)
    planner = CrossEntropy(candidates=8, horizon=6, every=6)
    plan = planner.plan(model, cost, None, 0)
    candidates = planner._first(cost, plan, 2)
    rest = np.concatenate([plan.actions[2:], np.repeat(plan.actions[-1:], 2, 0)])
    assert any(np.array_equal(each, rest) for each in candidates)


def test_some_proposal_pushes_the_object_most_of_the_way_in_mujoco(scene, eyes):
    world, _, cost = scene
    start = cost.start
    pushes = push_proposals(
        start.pusher_m, start.position_m[cost.colour], cost.place, 9, 28, np.random.default_rng(0)
    )
    seen = imagine(SimulatedModel(world, eyes.probe), pushes, every=28)
    before = cost.place.missing_m(start.position_m[cost.colour])
    assert cost.place.missing_m(seen.bodies.position_m[:, -1, cost.colour]).min() < 0.5 * before
    assert len({each.tobytes() for each in pushes}) == 9


def test_proposals_after_the_first_go_around_what_is_not_to_be_pushed():
    pusher_m, object_m = np.array([-0.15, 0.0]), np.array([0.1, 0.0])
    other_m = np.array([[-0.03, 0.0]])
    place, rng = Place((0.18, 0.0)), np.random.default_rng(0)
    pushes = push_proposals(pusher_m, object_m, place, 12, 12, rng, other_m)
    assert pushes.shape == (12, 12, 2)
    assert np.abs(pushes).max() <= 1
    ways_m = pusher_m + np.cumsum(0.1 * PUSHER_SPEED_M_S * pushes, axis=1)
    gaps_m = np.linalg.norm(ways_m - other_m, axis=-1).min(1)
    assert gaps_m[0] < 0.02, "the first goes straight on"
    assert gaps_m[1:].min() > 0.04
    assert (ways_m[1:, -1, 0] > 0.0).all(), "and arrives behind it"
    free = push_proposals(pusher_m, object_m, place, 12, 12, rng)
    far = push_proposals(pusher_m, object_m, place, 12, 12, rng, np.array([[0.0, 0.18]]))
    assert np.array_equal(free, far), "what is not in the way changes nothing"


def test_pushing_another_object_aside_costs_its_way(eyes):
    start = bodies([-0.1, 0.0], [0.1, 0.0])[0, 0]
    start.presence[3], start.position_m[3] = 1.0, (0.0, 0.1)
    cost = GoalCost(0, Place((0.18, 0.0)), start)
    assert np.array_equal(cost.others_m(), [[0.0, 0.1]])
    left, moved = (Bodies.stack([Bodies.stack([start])]) for _ in range(2))
    moved.position_m[..., 3, 0] = 0.06
    more = cost(moved, (4,), 4) - cost(left, (4,), 4)
    assert more == pytest.approx(0.6 * 0.05)


@pytest.mark.parametrize("beta", [0.0, 2.0])
def test_coloured_noise_has_unit_variance_and_the_smoothness_asked_for(beta):
    noise = coloured_noise(np.random.default_rng(0), 200, 12, 2, beta)
    assert noise.shape == (200, 12, 2)
    assert noise.std() == pytest.approx(1, abs=0.05)
    step = np.abs(np.diff(noise, axis=1)).mean()
    assert step < 0.8 if beta else step > 1.0


def bodies(pusher, thing, presence=1.0):
    position = np.zeros((1, 1, 6, 2))
    position[0, 0, 0] = thing
    sure = np.zeros((1, 1, 6))
    sure[..., 0] = presence
    return Bodies(np.array(pusher, float)[None, None], position, sure, np.zeros((1, 1, 6, 4)))


def cost_of(pusher, thing, place, presence=1.0):
    start = bodies((0, 0), (0.1, 0))
    flat = Bodies(*(values[0, 0] for values in vars(start).values()))
    return float(GoalCost(0, place, flat)(bodies(pusher, thing, presence), (12,), 12)[0])


def test_the_cost_falls_towards_the_goal_and_rises_with_doubt():
    left = Place(None, wall=0)
    near, far = cost_of((0.06, 0), (0.0, 0), left), cost_of((0.16, 0), (0.1, 0), left)
    assert near < far
    behind, before = cost_of((0.15, 0), (0.1, 0), left), cost_of((0.05, 0), (0.1, 0), left)
    assert behind < before, "the pusher has to get behind the object first"
    assert cost_of((0.06, 0), (0.0, 0), left, presence=0.1) > near
    squeezed = cost_of((0.15, 0), (0.17, 0), left)
    assert squeezed > cost_of((0.17, 0), (0.125, 0), left), "no room behind it at the wall"


@pytest.mark.parametrize(
    ("place", "inside", "outside"),
    [
        (Place((0.1, 0.1)), (0.1, 0.13), (0.1, 0.15)),
        (Place(None, 0), (-0.15, 0), (-0.13, 0)),
        (Place(None, 1), (0.15, 0), (0.13, 0)),
        (Place(None, 2), (0, 0.15), (0, 0.13)),
        (Place(None, 3), (0, -0.15), (0, -0.13)),
    ],
)
def test_a_place_is_reached_where_the_world_says_so(place, inside, outside):
    assert place.reached(np.array(inside))
    assert not place.reached(np.array(outside))


def test_a_model_that_saw_nothing_says_so(eyes, pipeline):
    with pytest.raises(StateError, match="observe"):
        LearnedModel(pipeline, eyes.probe).reset()


def test_a_search_without_candidates_is_refused():
    with pytest.raises(ConfigError, match="candidates"):
        CrossEntropy(candidates=0)


def test_imagining_in_bfloat16_moves_positions_by_less_than_the_probe_is_off(scene, eyes, pipeline):
    _, frame, cost = scene
    start = cost.start
    actions = push_proposals(
        start.pusher_m, start.position_m[cost.colour], cost.place, 3, 6, np.random.default_rng(0)
    )
    seen = []
    for dtype in (torch.float32, torch.bfloat16):
        model = LearnedModel(pipeline.without_layers(), eyes.probe, dtype=dtype)
        model.observe(frame, None)
        seen.append(imagine(model, actions, every=6).bodies)
    off_m = np.linalg.norm(seen[0].pusher_m - seen[1].pusher_m, axis=-1)
    assert 0 < off_m.max() < 0.003
