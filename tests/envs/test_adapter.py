"""Gymnasium's MuJoCo environments with the interface of our own worlds."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.adapter import GymnasiumWorld, make_world
from envs.mujoco_world import WorldState
from envs.push import PushWorld
from multimodal.errors import ActionError, ConfigError, StateError

TESTED = ["Reacher-v5", "Pusher-v5", "HalfCheetah-v5", "InvertedDoublePendulum-v5"]
# Their rewards difference body positions across a step, or read forces left over from the last one.
DERIVED = ["Ant-v5", "Humanoid-v5", "Swimmer-v5"]


@pytest.fixture(params=TESTED)
def world(request):
    world = GymnasiumWorld(request.param)
    yield world
    world.close()


def _actions(world: gym.Env, count: int, seed: int = 0) -> list[np.ndarray]:
    world.action_space.seed(seed)
    return [world.action_space.sample() for _ in range(count)]


def _play(world, actions) -> list[tuple]:
    found = []
    for action in actions:
        frame, reward, terminated, truncated, info = world.step(action)
        found.append((frame, info["state"]["observation"], reward, terminated, truncated))
    return found


def _same(one, two) -> bool:
    return all(
        np.array_equal(x, y)
        for a, b in zip(one, two, strict=True)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("env_id", TESTED)
# Gymnasium would like action spaces within [-1, 1], and Pusher's is not: it is kept as it is.
@pytest.mark.filterwarnings("error", "ignore:.*symmetric and normalized space:UserWarning")
def test_gymnasium_finds_nothing_to_complain_about(env_id):
    env = gym.make("worldmodel/Mujoco-v0", env_id=env_id)
    check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize("env_id", TESTED + DERIVED)
def test_rewards_and_observations_are_those_of_the_environment_alone(env_id):
    world, alone = GymnasiumWorld(env_id), gym.make(env_id).unwrapped
    _, info = world.reset(seed=7)
    observation, _ = alone.reset(seed=7)
    assert np.array_equal(info["state"]["observation"], observation)
    for action in _actions(world, 40):
        _, reward, terminated, _, info = world.step(action)
        expected, pay, end, _, _ = alone.step(action)
        assert np.array_equal(info["state"]["observation"], expected)
        assert (reward, terminated) == (pay, end)
    world.close()
    alone.close()


@pytest.mark.parametrize("env_id", TESTED + DERIVED)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_restored_world_has_the_same_frame_and_the_same_future(env_id, elsewhere):
    world, other = GymnasiumWorld(env_id), GymnasiumWorld(env_id)
    world.reset(seed=3)
    _play(world, _actions(world, 12))
    frame, state, saved = world.render(), world.named_state(), world.save_state()
    future = _play(world, _actions(world, 12, seed=1))
    following = world.reset()[0]
    target = other if elsewhere else world
    target.restore_state(saved)
    assert np.array_equal(target.render(), frame)
    assert all(np.array_equal(state[k], v) for k, v in target.named_state().items())
    assert _same(_play(target, _actions(target, 12, seed=1)), future)
    assert np.array_equal(target.reset()[0], following)
    world.close()
    other.close()


def test_the_frame_shows_the_scene_and_that_it_moves(world):
    first, _ = world.reset(seed=0)
    frames = [step[0] for step in _play(world, _actions(world, 10))]
    assert first.shape == (64, 64, 3)
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 8
    moved = (np.abs(frames[-1].astype(int) - first).max(axis=-1) > 20).mean()
    assert 0.005 < moved < 0.6


@pytest.mark.parametrize(
    ("env_id", "labels"),
    [
        ("Reacher-v5", {"link0", "link1", "fingertip", "target"}),
        ("HalfCheetah-v5", {"torso", "head", "bfoot", "ffoot", "floor"}),
        ("InvertedDoublePendulum-v5", {"cart", "cpole", "cpole2", "rail"}),
    ],
)
def test_every_part_that_matters_is_in_the_picture(env_id, labels):
    world = GymnasiumWorld(env_id)
    for seed in range(5):
        world.reset(seed=seed)
        seen = {world.segmentation_labels[i] for i in np.unique(world.segmentation()) if i >= 0}
        assert labels <= seen
    world.close()


def test_pusher_shows_cylinder_disc_and_arm():
    world = GymnasiumWorld("Pusher-v5")
    bodies = set()
    world.reset(seed=0)
    for index in np.unique(world.segmentation()):
        if index >= 0:
            bodies.add(world.model.body(world.model.geom_bodyid[index]).name)
    assert {"object", "goal", "r_forearm_link", "r_upper_arm_link"} <= bodies
    world.close()


def test_joints_are_named_with_units(world):
    _, info = world.reset(seed=0)
    assert info["state"].keys() == world.state_units.keys()
    joints = [world.model.joint(i) for i in range(world.model.njnt)]
    for joint in joints:
        unit = "m" if joint.type[0] == 2 else "rad"
        value = info["state"][f"{joint.name}_position_{unit}"]
        assert value == world.data.qpos[joint.qposadr[0]]


def test_a_free_joint_has_a_place_and_a_direction():
    world = GymnasiumWorld("Ant-v5")
    world.reset(seed=0)
    info = world.step(np.zeros(8, np.float32))[4]
    assert np.array_equal(info["state"]["root_position_m"], world.data.qpos[:3])
    assert np.linalg.norm(info["state"]["root_quaternion_wxyz"]) == pytest.approx(1, abs=0.01)
    assert info["state"]["root_velocity_rad_s"].shape == (3,)
    world.close()


def test_contacts_name_what_touches():
    world = GymnasiumWorld("HalfCheetah-v5")
    world.reset(seed=0)
    pairs = []
    for action in _actions(world, 30):
        info = world.step(action)[4]
        pairs += [{contact.first, contact.second} for contact in world.contacts()]
        assert info["contact"] == bool(world.contacts())
    assert {"floor", "ffoot"} in pairs or {"floor", "bfoot"} in pairs
    world.close()


def test_the_step_limit_is_the_environments_own_unless_given(world):
    assert world._max_steps == (gym.spec(world.kind).max_episode_steps or 0)
    short = GymnasiumWorld("Reacher-v5", max_steps=2)
    short.reset(seed=0)
    assert [step[4] for step in _play(short, _actions(short, 2))] == [False, True]
    short.close()


def test_reacher_is_cut_off_after_its_fifty_steps():
    world = GymnasiumWorld("Reacher-v5")
    world.reset(seed=0)
    assert [s[4] for s in _play(world, _actions(world, 50))] == [False] * 49 + [True]
    world.close()


def test_the_same_seed_gives_the_same_start_and_the_next_reset_goes_on(world):
    first, following = world.reset(seed=11)[0], world.reset()[0]
    assert np.array_equal(world.reset(seed=11)[0], first)
    assert np.array_equal(world.reset()[0], following)


def test_a_bad_action_is_refused_and_changes_nothing(world):
    world.reset(seed=0)
    before = world.save_state()
    for bad in (
        np.full(world.action_space.shape, np.nan),
        np.zeros(9),
        world.action_space.high * 2,
    ):
        with pytest.raises(ActionError):
            world.step(bad)
    after = world.save_state()
    assert all(np.array_equal(before.arrays[k], after.arrays[k]) for k in before.arrays)


def test_an_instance_is_taken_over_with_its_limit():
    world = GymnasiumWorld(gym.make("Reacher-v5"))
    assert world._max_steps == 50
    world.close()


def test_options_reach_the_environment_and_keep_its_states_apart():
    plain, heavy = GymnasiumWorld("Ant-v5"), GymnasiumWorld("Ant-v5", ctrl_cost_weight=3.0)
    for world in (plain, heavy):
        world.reset(seed=0)
    action = np.ones(8, np.float32)
    assert heavy.step(action)[1] < plain.step(action)[1] - 10
    with pytest.raises(StateError, match="Ant-v5"):
        plain.restore_state(heavy.save_state())
    plain.close()
    heavy.close()


def test_a_state_of_another_environment_is_refused():
    reacher, pusher = GymnasiumWorld("Reacher-v5"), GymnasiumWorld("Pusher-v5")
    reacher.reset(seed=0)
    with pytest.raises(StateError, match=r"Reacher-v5.*Pusher-v5"):
        pusher.restore_state(reacher.save_state())
    arrays = {**reacher.save_state().arrays, "derived": np.zeros(3)}
    with pytest.raises(StateError, match="derived"):
        reacher.restore_state(WorldState("Reacher-v5", arrays))
    reacher.close()
    pusher.close()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("CartPole-v1", "no MuJoCo model"),
        ("NoSuchThing-v0", "NoSuchThing"),
        ("worldmodel/Push-v0", "already"),
    ],
)
def test_what_cannot_be_adapted_is_refused(env, said):
    with pytest.raises(ConfigError, match=said):
        GymnasiumWorld(env)


def test_a_wrapper_that_would_be_passed_by_is_refused():
    with pytest.raises(ConfigError, match="RescaleAction"):
        GymnasiumWorld(gym.wrappers.RescaleAction(gym.make("Pusher-v5"), -1, 1))


def test_a_world_is_made_by_its_id_whether_it_is_ours_or_adapted():
    ours, adapted = make_world("worldmodel/Push-v0", 128, objects=1), make_world("Reacher-v5", 128)
    assert isinstance(ours, PushWorld)
    assert isinstance(adapted, GymnasiumWorld)
    assert ours.reset(seed=0)[0].shape == adapted.reset(seed=0)[0].shape == (128, 128, 3)
    ours.close()
    adapted.close()
    with pytest.raises(ConfigError, match="Nothing"):
        make_world("worldmodel/Nothing-v0")
