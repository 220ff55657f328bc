"""The learned environment: Gymnasium's rules, starts, saving, bad input."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from envs.learned import WorldModelEnv
from envs.learned_vector import WorldModelVectorEnv
from envs.push import PushWorld
from multimodal.errors import ActionError, CheckpointError, ConfigError, FrameError, StateError


@pytest.fixture
def env(pipeline, start_frames):
    env = WorldModelEnv(pipeline, start_frames=start_frames)
    yield env
    env.close()


def _actions(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)


def _play(env, actions) -> list[tuple]:
    return [env.step(action)[:4] for action in actions]


def _same(one, two) -> bool:
    return all(np.array_equal(a[0], b[0]) and a[1:] == b[1:] for a, b in zip(one, two, strict=True))


@pytest.mark.filterwarnings("error")
def test_gymnasium_finds_nothing_to_complain_about(pipeline):
    env = gym.make("worldmodel/Learned-v0", checkpoint=pipeline)
    check_env(env.unwrapped)
    env.close()


@pytest.mark.filterwarnings("error")
def test_gymnasium_finds_nothing_to_complain_about_in_the_shipped_model():
    env = gym.make("worldmodel/PushLearned-v0")
    check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize(
    ("world", "options", "rate"),
    [("worldmodel/Push-v0", {}, 10), ("Reacher-v5", {}, 50), ("NoSuchWorld-v0", {}, 10)],
)
def test_frames_are_shown_at_the_rate_of_the_world(
    make_pipeline, start_frames, world, options, rate
):
    pipeline = make_pipeline()
    pipeline.register_to_config(world=world, world_options=options)
    for kind in (WorldModelEnv, partial(WorldModelVectorEnv, num_envs=2)):
        env = kind(checkpoint=pipeline, start_frames=start_frames)
        assert env.metadata["render_fps"] == rate
        env.close()


def test_a_saved_checkpoint_is_opened_by_its_folder(pipeline, start_frames, tmp_path):
    pipeline.save_pretrained(tmp_path / "model")
    saved = gym.make(
        "worldmodel/Learned-v0",
        checkpoint=str(tmp_path / "model"),
        start_frames=start_frames,
        device="cpu",
    )
    given = WorldModelEnv(pipeline, start_frames=start_frames)
    assert np.array_equal(saved.reset(seed=1)[0], given.reset(seed=1)[0])
    # Loaded weights lie elsewhere in memory, which may change the last bits of a product.
    pairs = zip(_play(saved, _actions(5)), _play(given, _actions(5)), strict=True)
    for (frame, reward, *_), (other_frame, other_reward, *_) in pairs:
        assert np.abs(frame.astype(int) - other_frame.astype(int)).max() <= 1
        assert reward == pytest.approx(other_reward, abs=1e-4)


def test_an_unknown_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError):
        WorldModelEnv("no-such-checkpoint")
    with pytest.raises(CheckpointError):
        WorldModelEnv(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="name, a folder or a pipeline"):
        WorldModelEnv(7)


def test_the_start_of_a_seed_is_that_of_the_mujoco_world(pipeline):
    env, world = WorldModelEnv(pipeline), PushWorld(objects=2)
    frame, info = env.reset(seed=11)
    truth, told = world.reset(seed=11)
    seen = pipeline.render(pipeline.reset(truth[None]))[0].numpy()
    assert np.array_equal(frame, seen)
    assert info["instruction"] == told["instruction"]
    assert np.array_equal(info["goal"], told["goal"])
    env.close()
    world.close()


def test_the_same_seed_gives_the_same_rollout_bit_for_bit(env):
    runs = []
    for _ in range(2):
        env.reset(seed=3)
        runs.append(_play(env, _actions(40)))
    assert _same(*runs)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_rollout_over_a_thousand_steps(pipeline, start_frames):
    env, runs = WorldModelEnv(pipeline, max_steps=0, start_frames=start_frames), []
    for _ in range(2):
        env.reset(seed=3)
        runs.append(_play(env, _actions(1000)))
    assert _same(*runs)


def test_actions_and_seeds_matter(env):
    env.reset(seed=3)
    first = _play(env, _actions(5))
    env.reset(seed=3)
    assert not _same(_play(env, _actions(5, seed=1)), first)
    starts = {env.reset(seed=seed)[0].tobytes() for seed in range(12)}
    assert len(starts) > 2


def test_resets_without_a_seed_go_on_from_the_last_one(env):
    env.reset(seed=5)
    following = [env.reset()[0] for _ in range(6)]
    env.reset(seed=5)
    assert all(np.array_equal(env.reset()[0], frame) for frame in following)


def test_a_single_image_is_enough_to_start_from(env, start_frames):
    one, _ = env.reset(options={"frames": start_frames[2]})
    two, info = env.reset(options={"frames": start_frames[2][None], "instruction": "go"})
    assert np.array_equal(one, two)
    assert info["instruction"] == "go"
    assert not info["goal"].any()


def test_a_clip_with_its_actions_starts_at_its_last_frame_and_remembers(env, pipeline):
    clip = np.random.default_rng(1).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    frame, _ = env.reset(options={"frames": clip, "actions": _actions(3)})
    last, _ = env.reset(options={"frames": clip[-1]})
    assert np.array_equal(frame, last)
    after_last = env.step([0.5, 0.0])[0]
    env.reset(options={"frames": clip, "actions": _actions(3)})
    assert not np.array_equal(env.step([0.5, 0.0])[0], after_last)


def test_frames_of_a_read_only_array_are_taken_without_a_warning(env, start_frames, recwarn):
    frames = start_frames[:1].copy()
    frames.setflags(write=False)
    env.reset(options={"frames": frames})
    assert not len(recwarn)


def test_the_goal_decides_the_reward_and_not_the_frames(env, start_frames):
    goals = np.eye(env.pipeline.goal_dim, dtype=np.float32)[:2]
    steps = []
    for goal in goals:
        env.reset(options={"frames": start_frames[0], "goal": goal})
        steps.append(env.step([1.0, 0.0]))
    assert np.array_equal(steps[0][0], steps[1][0])
    assert steps[0][1] != steps[1][1]


@pytest.mark.parametrize(
    ("frames", "error", "said"),
    [
        (np.zeros((32, 32, 3), np.uint8), FrameError, "64x64"),
        (np.zeros((3, 64, 64), np.uint8), FrameError, "channels come first"),
        (np.zeros((2, 3, 64, 64), np.uint8), (FrameError, ActionError), None),
        (np.zeros((64, 64, 3), np.float32), FrameError, "uint8"),
        (np.zeros((64, 64, 4), np.uint8), FrameError, "shape"),
        (np.zeros((64, 64), np.uint8), FrameError, "H, W, 3"),
        (np.zeros((2, 64, 64, 3), np.uint8), ActionError, "actions"),
    ],
)
def test_malformed_frames_are_refused(env, frames, error, said):
    with pytest.raises(error, match=said):
        env.reset(options={"frames": frames})


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"frame": 1}, ConfigError, "frame"),
        ({"actions": np.zeros((1, 2))}, ConfigError, "frames"),
        ({"state": 3}, StateError, "save_state"),
    ],
)
def test_unknown_options_are_refused(env, options, error, said):
    with pytest.raises(error, match=said):
        env.reset(options=options)


@pytest.mark.parametrize("actions", [np.zeros((3, 2)), np.full((1, 2), np.nan), np.full((1, 2), 2)])
def test_malformed_actions_between_frames_are_refused(env, start_frames, actions):
    with pytest.raises(ActionError):
        env.reset(options={"frames": start_frames[:2], "actions": actions})


def test_a_goal_of_another_length_is_refused(env, start_frames):
    with pytest.raises(StateError, match="Goals"):
        env.reset(options={"frames": start_frames[0], "goal": np.zeros(3, np.float32)})


def test_a_refused_reset_leaves_the_rollout_as_it_was(env, start_frames):
    env.reset(seed=0)
    _play(env, _actions(3))
    frame, steps = env.render(), env.save_state().steps
    with pytest.raises(FrameError):
        env.reset(options={"frames": start_frames[0].astype(np.float32)})
    assert np.array_equal(env.render(), frame)
    assert env.save_state().steps == steps


@pytest.mark.parametrize("action", [[0.0], [np.nan, 0.0], [1.5, 0.0], None, ["up", "left"]])
def test_a_bad_action_is_refused_and_changes_nothing(env, action):
    env.reset(seed=0)
    frame = env.render()
    with pytest.raises(ActionError):
        env.step(action)
    assert np.array_equal(env.render(), frame)
    assert env.save_state().steps == (0,)


def test_nothing_happens_before_the_first_reset(env):
    for call in (lambda: env.step([0.0, 0.0]), env.render, env.save_state):
        with pytest.raises(gym.error.ResetNeeded):
            call()


def test_a_restored_rollout_has_the_same_frame_and_the_same_future(env, pipeline, start_frames):
    env.reset(seed=2)
    _play(env, _actions(12))
    frame, saved = env.render(), env.save_state()
    future, following = _play(env, _actions(12, seed=1)), env.reset()[0]
    other = WorldModelEnv(pipeline, start_frames=start_frames)
    for target in (env, other):
        target.restore_state(saved)
        assert np.array_equal(target.render(), frame)
        assert _same(_play(target, _actions(12, seed=1)), future)
        assert np.array_equal(target.reset()[0], following)


def test_a_rollout_of_the_pipeline_can_be_gone_on_with(env, pipeline, start_frames):
    state = pipeline.reset(start_frames[:1])
    for action in _actions(3):
        state = pipeline.step(state, torch.from_numpy(action)[None]).state
    expected = pipeline.step(state, torch.zeros(1, 2)).frame[0].numpy()
    env.reset(options={"state": state})
    assert np.array_equal(env.step([0.0, 0.0])[0], expected)


def test_a_state_of_several_lanes_or_of_another_model_is_refused(env, pipeline, start_frames):
    with pytest.raises(StateError, match="2 lanes"):
        env.restore_state(pipeline.reset(start_frames[:2, None]))
    state = pipeline.reset(start_frames[:1])
    other = type(state)(state.memory, state.goal[:, :3], state.seed, state.step)
    with pytest.raises(StateError, match="goal"):
        env.restore_state(other)


def test_an_episode_is_cut_off_after_its_steps_and_zero_never_cuts(pipeline, start_frames):
    for limit, expected in ((3, [False, False, True]), (0, [False] * 3)):
        env = WorldModelEnv(pipeline, max_steps=limit, terminate=False, start_frames=start_frames)
        env.reset(seed=0)
        assert [step[3] for step in _play(env, _actions(3))] == expected


def test_the_episode_ends_where_the_model_says_so_unless_told_otherwise(
    make_pipeline, start_frames
):
    sure = make_pipeline()
    sure.dynamics.outcome.end.bias.fill_(50.0)
    for terminate in (True, False):
        env = WorldModelEnv(sure, terminate=terminate, start_frames=start_frames)
        env.reset(seed=0)
        _, _, terminated, _, info = env.step([0.0, 0.0])
        assert terminated is terminate
        assert info["termination_probability"] > 0.99


def test_a_checkpoint_without_a_world_says_what_to_start_from(make_pipeline, start_frames):
    env = WorldModelEnv(make_pipeline(world=""))
    with pytest.raises(ConfigError, match="start_frames"):
        env.reset(seed=0)
    env.reset(options={"frames": start_frames[0]})
    assert env.step([0.0, 0.0])[0].shape == (64, 64, 3)


@pytest.mark.parametrize("frames", [np.zeros((64, 64, 3), np.uint8), np.zeros((0, 64, 64, 3))])
def test_start_frames_of_another_rank_are_refused(pipeline, frames):
    with pytest.raises(FrameError, match="start_frames"):
        WorldModelEnv(pipeline, start_frames=frames)
