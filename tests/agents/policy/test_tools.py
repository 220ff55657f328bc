"""The tools people have: Stable-Baselines3, and CleanRL-style code on `gymnasium.make_vec`."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import nn

import envs  # noqa: F401 - registers the learned worlds
from agents.policy import learned_vec_env
from worldmodel.pipeline import WorldModelPipeline

FRAMES = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)


def test_ppo_and_sac_of_stable_baselines_train_in_the_learned_world(
    tiny_pipeline: WorldModelPipeline,
) -> None:
    sb3 = pytest.importorskip("stable_baselines3")
    options = {"checkpoint": tiny_pipeline, "start_frames": FRAMES, "max_steps": 4}
    env = learned_vec_env(2, **options)
    ppo = sb3.PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, n_epochs=1, device="cpu")
    before = ppo.policy.action_net.weight.detach().clone()
    ppo.learn(16)
    assert ppo.num_timesteps == 16
    assert not torch.equal(before, ppo.policy.action_net.weight)
    sac = sb3.SAC(
        "MultiInputPolicy", env, buffer_size=64, learning_starts=4, batch_size=4, device="cpu"
    )
    sac.learn(12)
    assert sac.num_timesteps == 12
    assert sac.replay_buffer.size() == 6
    env.close()


def test_the_adapter_hands_on_final_frames_and_truncations(
    tiny_pipeline: WorldModelPipeline,
) -> None:
    pytest.importorskip("stable_baselines3")
    options = {"checkpoint": tiny_pipeline, "start_frames": FRAMES, "max_steps": 2}
    env = learned_vec_env(3, terminate=False, **options)
    env.seed(1)
    first = env.reset()
    assert first["frame"].shape == (3, 64, 64, 3)
    assert first["goal"].shape == (3, 16)
    actions = np.zeros((3, 2), np.float32)
    _, _, done, _ = env.step(actions)
    assert not done.any()
    after, _, done, infos = env.step(actions)
    assert done.all()
    assert all(info["TimeLimit.truncated"] for info in infos)
    last = infos[0]["terminal_observation"]["frame"]
    assert last.shape == (64, 64, 3)
    assert not np.array_equal(last, after["frame"][0])
    env.close()


def test_a_cleanrl_style_loop_trains_on_make_vec(tiny_pipeline: WorldModelPipeline) -> None:
    venv = gymnasium.make_vec(
        "worldmodel/PushLearned-v0",
        num_envs=4,
        checkpoint=tiny_pipeline,
        start_frames=FRAMES,
        max_steps=5,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64 * 64 * 3, 16), nn.Tanh(), nn.Linear(16, 4))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    before = network[1].weight.detach().clone()
    frames, _ = venv.reset(seed=0)
    losses = []
    for _ in range(7):
        mean, spread = network(torch.from_numpy(frames).float() / 255).chunk(2, -1)
        actions = torch.distributions.Normal(mean, spread.exp())
        drawn = actions.sample()
        bounded = drawn.clamp(-1, 1).numpy()
        frames, rewards, terminations, truncations, _ = venv.step(bounded)
        assert frames.shape == (4, 64, 64, 3)
        assert terminations.shape == truncations.shape == (4,)
        gain = torch.from_numpy(np.asarray(rewards, np.float32))
        losses.append(-(actions.log_prob(drawn).sum(-1) * gain).mean())
    optimizer.zero_grad()
    torch.stack(losses).mean().backward()
    optimizer.step()
    assert not torch.equal(before, network[1].weight)
    venv.close()
