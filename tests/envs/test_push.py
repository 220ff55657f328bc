"""The Push table: what is drawn, what moves, what is said about it, and what is saved."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.behaviours import make_behaviour
from envs.mujoco_world import WorldState
from envs.push import PushWorld
from envs.push_scene import COLOUR_RGB, COLOURS, SHAPES, TABLE_HALF_M
from multimodal.errors import ActionError, ConfigError, FrameError, StateError


@pytest.fixture(scope="module")
def world():
    world = PushWorld()
    yield world
    world.close()


@pytest.fixture(scope="module")
def other():
    world = PushWorld()
    yield world
    world.close()


def _actions(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)


def _play(world: PushWorld, actions: np.ndarray) -> list[tuple[np.ndarray, float, bool, bool]]:
    return [world.step(action)[:4] for action in actions]


def _same(one, two) -> bool:
    return all(np.array_equal(a[0], b[0]) and a[1:] == b[1:] for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("options", [{}, {"size_px": 128}, {"objects": 1, "reward": "sparse"}])
@pytest.mark.filterwarnings("error")
def test_gymnasium_finds_nothing_to_complain_about(options):
    env = gym.make("worldmodel/Push-v0", **options)
    check_env(env.unwrapped)
    env.close()


def test_the_same_seed_gives_the_same_episode(world, other):
    frame, info = world.reset(seed=5)
    again, told = other.reset(seed=5)
    assert np.array_equal(frame, again)
    assert info["instruction"] == told["instruction"]
    assert _same(_play(world, _actions(30)), _play(other, _actions(30)))


def test_another_seed_gives_another_scene(world):
    assert not np.array_equal(world.reset(seed=1)[0], world.reset(seed=2)[0])


@pytest.mark.parametrize("randomise", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_restored_world_has_the_same_frame_and_the_same_future(randomise, elsewhere):
    first, second = PushWorld(randomise=randomise), PushWorld(randomise=randomise)
    first.reset(seed=3)
    behaviour = make_behaviour(first, np.random.default_rng(0))
    for _ in range(25):
        first.step(behaviour.act(first))
    frame, saved = first.render(), first.save_state()
    future = _play(first, _actions(25))
    following = first.reset()[0]
    target = second if elsewhere else first
    target.restore_state(saved)
    assert np.array_equal(target.render(), frame)
    assert _same(_play(target, _actions(25)), future)
    assert np.array_equal(target.reset()[0], following), "the random stream goes on as well"
    first.close()
    second.close()


def test_saving_and_looking_do_not_change_the_future(world, other):
    world.reset(seed=8)
    other.reset(seed=8)
    for action in _actions(20):
        other.step(action)
        world.save_state()
        world.restore_state(world.save_state())
        world.segmentation()
        world.contacts()
        world.step(action)
    assert np.array_equal(
        world.save_state().arrays["integration"], other.save_state().arrays["integration"]
    )


def test_a_reset_can_start_from_a_saved_state_and_counts_its_steps_anew(world):
    world.reset(seed=4)
    _play(world, _actions(7))
    frame, saved = world.render(), world.save_state()
    world.reset(seed=9)
    again, _ = world.reset(options={"state": saved})
    assert np.array_equal(again, frame)
    assert int(world.save_state().arrays["steps"]) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"integration": np.zeros(3)}, "finite numbers"),
        ({"goal": np.zeros(2, np.int64)}, "five integers"),
        ({"integration": None}, "lacks"),
        ({"masses_kg": None}, "masses_kg"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(world, change, said):
    world.reset(seed=0)
    arrays = {**world.save_state().arrays, **change}
    arrays = {name: value for name, value in arrays.items() if value is not None}
    with pytest.raises(StateError, match=said):
        world.restore_state(WorldState("push", arrays))


def test_a_state_of_another_world_is_refused(world):
    world.reset(seed=0)
    with pytest.raises(StateError, match=r"Reacher-v5.*push"):
        world.restore_state(WorldState("Reacher-v5", world.save_state().arrays))
    with pytest.raises(StateError, match="WorldState"):
        world.restore_state({"integration": 1})


def test_a_refused_state_leaves_the_world_as_it_was(world):
    frame, _ = world.reset(seed=0)
    arrays = dict(world.save_state().arrays)
    world.reset(seed=1)
    before = world.render()
    with pytest.raises(StateError):
        world.restore_state(WorldState("push", {**arrays, "goal": np.zeros(2, np.int64)}))
    assert not np.array_equal(frame, before)
    assert np.array_equal(world.render(), before)


@settings(max_examples=50)
@given(seed=st.integers(0, 2**31 - 1))
def test_no_start_is_solved_already(world, seed):
    _, info = world.reset(seed=seed)
    assert not info["success"]
    assert not info["contact"]
    _, _, terminated, _, info = world.step(np.zeros(2, np.float32))
    assert not terminated


@settings(max_examples=50)
@given(seed=st.integers(0, 2**31 - 1))
def test_a_start_is_a_proper_scene(world, seed):
    _, info = world.reset(seed=seed)
    state = info["state"]
    present = state["object_present"]
    assert present.sum() == 3
    assert len(set(state["object_colour"][present])) == 3
    assert np.abs(state["object_position_m"][present]).max() < TABLE_HALF_M - 0.03
    points = np.vstack([state["object_position_m"][present], state["pusher_position_m"]])
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)[np.triu_indices(4, 1)]
    assert gaps.min() > 0.06
    assert (state["object_shape"][~present] == -1).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_as_many_objects_as_asked_for_are_there_and_seen(count):
    world = PushWorld(objects=count)
    _, info = world.reset(seed=count)
    assert info["state"]["object_present"].sum() == count
    labels, seen = world.segmentation_labels, np.unique(world.segmentation())
    objects = {labels[i] for i in seen if labels.get(i, "").split(" ")[-1] in SHAPES}
    assert len(objects) == count
    world.close()


def test_an_absent_object_stays_where_it_is_parked_and_a_present_one_has_weight():
    world = PushWorld(objects=1)
    world.reset(seed=0)
    parked = world.data.qpos[9:].copy()
    world.data.qpos[4] += 0.05
    for _ in range(30):
        world.step(np.zeros(2, np.float32))
    np.testing.assert_array_equal(world.data.qpos[9:], parked)
    assert world.data.qpos[4] < 0.03
    world.close()


def test_a_range_of_objects_is_drawn_anew_for_each_scene():
    world = PushWorld(objects=(1, 4))
    counts = {int(world.reset(seed=s)[1]["state"]["object_present"].sum()) for s in range(40)}
    assert counts == {1, 2, 3, 4}
    world.close()


def test_the_named_state_has_units_for_every_entry(world):
    _, info = world.reset(seed=0)
    assert info["state"].keys() == world.state_units.keys()


def test_the_pusher_moves_where_the_action_points_at_its_stated_speed():
    world = PushWorld(objects=1)
    for seed in range(40):
        state = world.reset(seed=seed)[1]["state"]
        if np.abs(state["pusher_position_m"]).max() < 0.08:
            break
    x, y = state["pusher_position_m"]
    away = np.sign(x - state["object_position_m"][0, 0])
    for _ in range(3):
        info = world.step([away, 0.0])[4]
    assert (info["state"]["pusher_position_m"][0] - x) * away == pytest.approx(0.06, abs=0.012)
    assert info["state"]["pusher_position_m"][1] == pytest.approx(y, abs=1e-3)
    world.close()


def test_pushing_an_object_moves_it_and_names_the_contact():
    world = PushWorld(objects=1, terminate_on_success=False)
    _, info = world.reset(seed=2)
    start_m = info["state"]["object_position_m"][0].copy()
    name = (
        f"{COLOURS[info['state']['object_colour'][0]]} {SHAPES[info['state']['object_shape'][0]]}"
    )
    touched = []
    for _ in range(40):
        state = info["state"]
        way = state["object_position_m"][0] - state["pusher_position_m"]
        info = world.step((way / np.abs(way).max()).astype(np.float32))[4]
        if info["contact"]:
            touched += [{c.first, c.second} for c in world.contacts()]
    assert {"pusher", name} in touched
    assert np.linalg.norm(info["state"]["object_position_m"][0] - start_m) > 0.03
    world.close()


def test_there_is_no_contact_with_the_pusher_at_the_start(world):
    world.reset(seed=0)
    assert all("pusher" not in (c.first, c.second) for c in world.contacts())


def test_the_segmentation_agrees_with_the_colours():
    world = PushWorld(objects=4, size_px=128)
    for seed in range(6):
        frame, _ = world.reset(seed=seed)
        segments, labels = world.segmentation(), world.segmentation_labels
        for index in np.unique(segments):
            colour, _, thing = labels[index].partition(" ")
            assert labels[index] != "hidden"
            if thing in SHAPES:
                mean = np.median(frame[segments == index], axis=0)
                rgb = np.array([COLOUR_RGB[name] for name in COLOURS])
                shades = rgb / np.linalg.norm(rgb, axis=1, keepdims=True)
                nearest = np.argmax(shades @ (mean / np.linalg.norm(mean)))
                assert COLOURS[nearest] == colour
    world.close()


def test_an_object_is_drawn_where_the_state_says_it_is():
    world = PushWorld(objects=1, size_px=128)
    for seed in range(5):
        _, info = world.reset(seed=seed)
        labels = world.segmentation_labels
        ids = [i for i, label in labels.items() if label.split(" ")[-1] in SHAPES]
        rows, columns = np.nonzero(np.isin(world.segmentation(), ids))
        half_m = 1.2 * np.tan(np.deg2rad(20.2) / 2)
        seen_m = np.array([columns.mean(), -rows.mean()]) / 127 * 2 * half_m + [-half_m, half_m]
        assert np.linalg.norm(seen_m - info["state"]["object_position_m"][0]) < 0.012
    world.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_objects_stay_on_the_table_through_long_rough_play(seed):
    world = PushWorld(objects=4, max_steps=0, terminate_on_success=False)
    world.reset(seed=seed)
    rng = np.random.default_rng(seed)
    behaviour = make_behaviour(world, rng)
    for step in range(1500):
        rough = step % 100 < 40
        action = np.sign(rng.normal(size=2)).astype(np.float32) if rough else behaviour.act(world)
        state = world.step(action)[4]["state"]
        assert np.abs(state["object_position_m"]).max() < TABLE_HALF_M
        assert np.abs(state["pusher_position_m"]).max() < TABLE_HALF_M
        heights = world.data.qpos[2:].reshape(4, 7)[:, 2]
        assert heights.min() > 0
        assert heights.max() < 0.06
    world.close()


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ([0.0], "shape"),
        ([0.0, 0.0, 0.0], "shape"),
        ([np.nan, 0.0], "finite"),
        ([np.inf, 0.0], "finite"),
        ([1.5, 0.0], "between"),
        (["left", "up"], "numbers"),
        (None, "shape"),
    ],
)
def test_a_bad_action_is_refused_and_changes_nothing(world, action, said):
    world.reset(seed=0)
    before = world.save_state()
    with pytest.raises(ActionError, match=said):
        world.step(action)
    after = world.save_state()
    assert all(np.array_equal(before.arrays[k], after.arrays[k]) for k in before.arrays)


def test_the_sparse_reward_pays_for_success_alone():
    world = PushWorld(objects=1, reward="sparse")
    rewards = [world.reset(seed=0)] and [step[1] for step in _play(world, _actions(10))]
    assert set(rewards) <= {0.0, 1.0}
    world.close()


def test_the_dense_reward_grows_on_the_way_to_the_goal_and_success_ends_the_episode():
    from envs.behaviours import push_action

    world, solved = PushWorld(objects=1), 0
    for seed in range(6):
        world.reset(seed=seed)
        rewards = []
        for _ in range(200):
            state = world.named_state()
            action = push_action(
                state["pusher_position_m"], state["object_position_m"][0], world.place_m(world.goal)
            )
            _, reward, terminated, truncated, info = world.step(action)
            rewards.append(reward)
            assert terminated == info["success"]
            if terminated or truncated:
                break
        if terminated:
            solved += 1
            assert rewards[-1] > rewards[0] + 0.9
    assert solved >= 4
    world.close()


def test_an_episode_is_cut_off_after_its_steps_and_zero_never_cuts():
    short, endless = PushWorld(max_steps=3), PushWorld(max_steps=0)
    for world, expected in ((short, [False, False, True]), (endless, [False] * 3)):
        world.reset(seed=0)
        assert [step[3] for step in _play(world, np.zeros((3, 2), np.float32))] == expected
        world.close()


def test_what_cannot_be_seen_is_the_same_everywhere_unless_asked_for(world):
    kept = {tuple(world.model.body_mass) for s in range(3) if world.reset(seed=s)}
    varied = PushWorld(randomise=True)
    drawn = {tuple(varied.model.body_mass) for s in range(3) if varied.reset(seed=s)}
    assert len(kept) == 1
    assert len(drawn) == 3
    varied.close()


def test_a_state_of_a_randomised_world_leaves_nothing_behind_for_the_next_scene(world):
    world.reset(seed=0)
    plain = world.save_state().arrays
    varied = PushWorld(randomise=True)
    varied.reset(seed=0)
    world.restore_state(varied.save_state())
    assert not np.array_equal(world.save_state().arrays["masses_kg"], plain["masses_kg"])
    world.reset(seed=0)
    again = world.save_state().arrays
    assert all(np.array_equal(plain[name], again[name]) for name in plain)
    varied.close()


def test_an_unknown_option_of_reset_is_refused(world):
    with pytest.raises(ConfigError, match=r"objects.*when the world is made"):
        world.reset(options={"objects": 2})
    with pytest.raises(ConfigError, match=r"nothing else.*objects"):
        world.reset(options={"state": world.save_state(), "objects": 2})


def test_captions_name_every_object_and_the_side_it_is_on(world):
    _, info = world.reset(seed=0)
    captions, state = world.captions(), info["state"]
    for slot in np.flatnonzero(state["object_present"]):
        name = f"{COLOURS[state['object_colour'][slot]]} {SHAPES[state['object_shape'][slot]]}"
        side = "left" if state["object_position_m"][slot, 0] < 0 else "right"
        assert any(name in c and side in c for c in captions[1:])
        assert name in captions[0]


@pytest.mark.parametrize("options", [{"objects": 0}, {"objects": 5}, {"reward": "shaped"}])
def test_an_option_out_of_range_is_refused(options):
    with pytest.raises(ConfigError):
        PushWorld(**options)


@pytest.mark.parametrize("size_px", [8, 65])
def test_a_frame_size_the_models_cannot_use_is_refused(size_px):
    with pytest.raises(FrameError, match="multiple of 8"):
        PushWorld(size_px=size_px)
