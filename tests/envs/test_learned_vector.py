"""The learned vector environment: lanes, tensors, autoreset, saving, bad input."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from envs.learned import WorldModelEnv
from envs.learned_vector import WorldModelVectorEnv
from envs.vector_checker import check_vector_env
from multimodal.errors import ActionError, ConfigError, FrameError, StateError

MODES = list(AutoresetMode)
LANES = 3


@pytest.fixture
def make(pipeline, start_frames):
    def made(lanes: int = LANES, **options) -> WorldModelVectorEnv:
        return WorldModelVectorEnv(lanes, pipeline, start_frames=start_frames, **options)

    return made


def _actions(steps: int, lanes: int = LANES, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, lanes, 2)).astype(np.float32)


def _play(env, actions) -> list[tuple]:
    return [env.step(action)[:4] for action in actions]


def _same(one, two) -> bool:
    pairs = zip(one, two, strict=True)
    return all(np.array_equal(x, y) for a, b in pairs for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.filterwarnings("error")
def test_our_checker_finds_nothing_to_complain_about(make, mode, tensors):
    report = check_vector_env(make(autoreset_mode=mode, tensors=tensors, max_steps=12))
    assert report.episodes >= LANES
    assert report.autoreset_mode is mode


@pytest.mark.filterwarnings("error")
def test_gymnasium_makes_it_by_its_id(pipeline, start_frames):
    env = gym.make_vec(
        "worldmodel/Learned-v0", num_envs=4, checkpoint=pipeline, start_frames=start_frames
    )
    assert isinstance(env, WorldModelVectorEnv)
    assert env.reset(seed=0)[0].shape == (4, 64, 64, 3)
    env.close()
    env.close()


def test_both_learned_ids_have_a_vector_form():
    for name in ("worldmodel/Learned-v0", "worldmodel/PushLearned-v0"):
        assert gym.spec(name).vector_entry_point == "envs.learned_vector:WorldModelVectorEnv"


def test_lanes_start_in_the_mujoco_world_of_the_checkpoint(pipeline):
    env, single = WorldModelVectorEnv(2, pipeline), WorldModelEnv(pipeline)
    frames, infos = env.reset(seed=4)
    for lane in range(2):
        frame, info = single.reset(seed=4 + lane)
        assert np.abs(frames[lane].astype(int) - frame).max() <= 2
        assert infos["instruction"][lane] == info["instruction"]
        assert np.array_equal(infos["goal"][lane], info["goal"])
    env.close()
    single.close()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_the_same_seed_gives_the_same_rollout_bit_for_bit_through_autoresets(make, mode):
    env, runs = make(autoreset_mode=mode, max_steps=7), []
    for _ in range(2):
        env.reset(seed=1)
        runs.append(_play(env, _actions(30)))
    assert _same(*runs)


def test_a_lane_equals_the_single_environment_within_the_stated_tolerance(
    make, pipeline, start_frames
):
    env = make(max_steps=0)
    env.reset(seed=20)
    actions = _actions(50)
    batched = _play(env, actions)
    for lane in range(LANES):
        single = WorldModelEnv(pipeline, max_steps=0, start_frames=start_frames)
        single.reset(seed=20 + lane)
        for action, (frames, rewards, terminations, _) in zip(actions, batched, strict=True):
            frame, reward, terminated, _, _ = single.step(action[lane])
            assert np.abs(frames[lane].astype(int) - frame).max() <= 2
            assert rewards[lane] == pytest.approx(reward, abs=1e-3)
            assert terminations[lane] == terminated


def test_a_lane_of_the_shipped_model_equals_the_single_environment():
    options = {"max_steps": 0, "terminate": False}
    env = gym.make_vec("worldmodel/PushLearned-v0", num_envs=LANES, **options)
    single = gym.make("worldmodel/PushLearned-v0", **options)
    env.reset(seed=7)
    single.reset(seed=8)
    for action in _actions(50):
        frames, rewards, *_ = env.step(action)
        frame, reward, *_ = single.step(action[1])
        assert np.abs(frames[1].astype(int) - frame).max() <= 2
        assert rewards[1] == pytest.approx(reward, abs=1e-3)
    env.close()
    single.close()


def test_the_next_episodes_of_a_lane_are_those_of_the_single_environment(
    make, pipeline, start_frames
):
    env = make(max_steps=2)
    single = WorldModelEnv(pipeline, max_steps=2, start_frames=start_frames)
    starts = [env.reset(seed=6)[0][1]]
    expected = [single.reset(seed=7)[0]]
    for _ in range(4):
        expected.append(single.reset()[0])
        starts.append(_play(env, _actions(3))[-1][0][1])
    for start, frame in zip(starts, expected, strict=True):
        assert np.abs(start.astype(int) - frame).max() <= 2


def test_numpy_is_what_gymnasium_gives(make):
    env = make()
    frames, _ = env.reset(seed=0)
    frames, rewards, terminations, truncations, infos = env.step(env.action_space.sample())
    assert (frames.dtype, rewards.dtype) == (np.uint8, np.float64)
    assert terminations.dtype == truncations.dtype == np.bool_
    assert infos["termination_probability"].shape == (LANES,)


def test_tensors_stay_on_the_device_and_hold_the_same_numbers(make):
    plain, tensors = make(), make(tensors=True)
    assert np.array_equal(plain.reset(seed=0)[0], tensors.reset(seed=0)[0])
    for action in _actions(5):
        given = tensors.step(torch.from_numpy(action))
        assert all(isinstance(part, torch.Tensor) for part in given[:4])
        assert given[0].dtype == torch.uint8
        assert given[0].device == tensors.pipeline.device
        for part, expected in zip(given[:4], plain.step(action)[:4], strict=True):
            assert np.allclose(part, expected, rtol=1e-6)


def test_what_was_returned_belongs_to_the_caller(make):
    env, untouched = make(), make()
    env.reset(seed=0)[0][:] = 0
    untouched.reset(seed=0)
    for action in _actions(3):
        given, expected = env.step(action), untouched.step(action)
        assert np.array_equal(given[0], expected[0])
        given[0][:] = 0
        given[3][:] = True
        given[4]["goal"][:] = 9
        env.render()[0][:] = 0


def test_next_step_spends_a_step_on_the_reset(make):
    env = make(max_steps=3)
    env.reset(seed=0)
    steps = [env.step(action) for action in _actions(5)]
    assert [step[3].all() for step in steps] == [False, False, True, False, False]
    assert not steps[3][1].any()
    assert not steps[3][4]["_termination_probability"].any()
    assert steps[4][4]["_termination_probability"].all()


def test_same_step_returns_the_next_start_and_keeps_the_last_frame(make):
    env, endless = (
        make(max_steps=3, autoreset_mode="SameStep"),
        make(max_steps=0, autoreset_mode="SameStep"),
    )
    env.reset(seed=0)
    endless.reset(seed=0)
    actions = _actions(3)
    last, expected = _play(env, actions[:2]), _play(endless, actions)
    frames, _, _, truncations, infos = env.step(actions[2])
    assert last[-1][3].tolist() == [False] * LANES
    assert truncations.all()
    assert infos["_final_obs"].all()
    for lane in range(LANES):
        assert np.array_equal(infos["final_obs"][lane], expected[-1][0][lane])
        assert not np.array_equal(infos["final_obs"][lane], frames[lane])
    assert infos["final_info"]["_termination_probability"].all()
    assert not infos["_termination_probability"].any()


def test_disabled_waits_for_the_caller_and_resets_only_the_lanes_in_the_mask(make):
    env = make(max_steps=4, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    _play(env, _actions(2))
    mask = np.array([True, False, True])
    before = env.render()
    frames, infos = env.reset(seed=50, options={"reset_mask": mask})
    assert np.array_equal(frames[1], before[1])
    assert not np.array_equal(frames[0], before[0])
    assert infos["_instruction"].tolist() == mask.tolist()
    assert [step[3].tolist() for step in _play(env, _actions(2))][-1] == [False, True, False]
    with pytest.raises(gym.error.ResetNeeded, match=r"\[1\]"):
        env.step(_actions(1)[0])
    env.reset(options={"reset_mask": np.array([False, True, False])})
    assert _play(env, _actions(2))[-1][3].tolist() == [True, False, True]


def test_a_lane_that_was_not_reset_goes_on_as_if_nothing_had_happened(make):
    env, alone = make(max_steps=0), make(max_steps=0)
    for target in (env, alone):
        target.reset(seed=0)
        _play(target, _actions(4))
    env.reset(options={"reset_mask": np.array([True, False, False])})
    one, two = _play(env, _actions(6, seed=2)), _play(alone, _actions(6, seed=2))
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a[0][1:], b[0][1:])
        assert np.array_equal(a[1][1:], b[1][1:])


@pytest.mark.parametrize("tensors", [False, True])
def test_a_restored_environment_has_the_same_frames_and_the_same_future(make, tensors):
    env, other = make(max_steps=9, tensors=tensors), make(max_steps=9, tensors=tensors)
    env.reset(seed=2)
    _play(env, _actions(6))
    frames, saved = env.render(), env.save_state()
    future = _play(env, _actions(12, seed=1))
    for target in (env, other):
        target.restore_state(saved)
        assert _same([target.render()], [frames])
        assert _same(_play(target, _actions(12, seed=1)), future)


def test_all_lanes_can_start_from_one_clip_or_each_from_its_own(make, start_frames):
    env = make()
    frames, _ = env.reset(options={"frames": start_frames[0]})
    assert np.array_equal(frames[0], frames[2])
    clips = np.stack([start_frames[i : i + 2] for i in range(LANES)])
    frames, _ = env.reset(options={"frames": clips, "actions": np.zeros((LANES, 1, 2))})
    own, _ = env.reset(options={"frames": start_frames[1 : 1 + LANES, None]})
    assert np.array_equal(frames, own)
    assert not np.array_equal(frames[0], frames[1])


def test_a_rollout_of_the_pipeline_can_be_gone_on_with(make, pipeline, start_frames):
    state = pipeline.reset(start_frames[:LANES, None])
    expected = pipeline.step(state, torch.zeros(LANES, 2)).frame.numpy()
    env = make()
    env.reset(options={"state": state})
    assert np.array_equal(env.step(np.zeros((LANES, 2)))[0], expected)
    for beside in ({"reset_mask": np.array([True, False, True])}, {"frames": start_frames[0]}):
        with pytest.raises(ConfigError, match="state"):
            env.reset(options={"state": state, **beside})
    with pytest.raises(StateError, match="3 lanes"):
        make(2).reset(options={"state": state})
    with pytest.raises(StateError, match="save_state"):
        make(2).restore_state({})


@pytest.mark.parametrize(
    "actions",
    [
        np.zeros((LANES + 1, 2)),
        np.zeros(2),
        np.full((LANES, 2), np.nan),
        np.full((LANES, 2), 1.5),
        torch.zeros(LANES + 1, 2),
        torch.full((LANES, 2), float("nan")),
        torch.full((LANES, 2), 1.5),
    ],
)
def test_bad_actions_are_refused_and_move_nothing(make, actions):
    env = make()
    env.reset(seed=0)
    before = env.render()
    with pytest.raises(ActionError):
        env.step(actions)
    assert _same([env.render()], [before])
    assert env.save_state().steps == (0,) * LANES


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"reset_mask": np.zeros(LANES, np.bool_)}, ConfigError),
        ({"reset_mask": np.ones(LANES, np.int64)}, ConfigError),
        ({"reset_mask": np.ones(LANES + 1, np.bool_)}, ConfigError),
        ({"frame": 0}, ConfigError),
        ({"frames": np.zeros((2, 1, 64, 64, 3), np.uint8)}, ConfigError),
        ({"frames": np.zeros((32, 32, 3), np.uint8)}, FrameError),
        ({"frames": np.zeros((64, 64, 3), np.float32)}, FrameError),
    ],
)
def test_bad_options_are_refused(make, options, error):
    env = make()
    env.reset(seed=0)
    before = env.render()
    with pytest.raises(error):
        env.reset(options=options)
    assert _same([env.render()], [before])


def test_the_options_of_the_caller_are_left_as_they_were(make):
    env = make()
    env.reset(seed=0)
    options = {"reset_mask": np.array([True, False, False])}
    env.reset(options=options)
    assert list(options) == ["reset_mask"]


def test_seeds_can_be_given_one_by_one(make):
    env = make()
    counted, _ = env.reset(seed=3)
    listed, _ = env.reset(seed=[3, 4, 5])
    assert np.array_equal(counted, listed)
    with pytest.raises(ConfigError, match="3 seeds"):
        env.reset(seed=[1, 2])


def test_nothing_happens_before_the_first_reset_which_is_of_all_lanes(make):
    env = make()
    for call in (lambda: env.step(np.zeros((LANES, 2))), env.render, env.save_state):
        with pytest.raises(gym.error.ResetNeeded):
            call()
    with pytest.raises(ConfigError, match="first reset"):
        env.reset(options={"reset_mask": np.array([True, False, False])})


@pytest.mark.parametrize(("lanes", "options"), [(0, {}), (2, {"autoreset_mode": "Sometimes"})])
def test_an_option_out_of_range_is_refused(make, lanes, options):
    with pytest.raises(ConfigError):
        make(lanes, **options)
